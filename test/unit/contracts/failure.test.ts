import { describe, expect, test } from '@jest/globals';
import { normalisedMessage } from '../../../src/contracts/failure.js';

describe('normalisedMessage', () => {
  const same: [string, string][] = [
    ['partition 2025-07-16 has no rows', 'partition 2025-08-01 has no rows'],
    ['loading day 20250716 failed', 'loading day 20251231 failed'],
    ['Got 3 results, configured to fail if != 0', 'Got 1847 results, configured to fail if != 0'],
    ["value 'a@x' is twice in `p.d.t`", "value 'b@y' is twice in `p.d.u`"],
    ['run 3f2504e0-4f89-11d3-9a0c-0305e82c3301 failed', 'run 6ecd8c99-4036-403d-bf84-cf8400f67836 failed'],
    ['job 1a2b3c4d5e failed', 'job 99887766aa failed'],
    ['took 1.5 s\n\n  and failed', 'took 12.25 s and failed'],
  ];
  test.each(same)('%s is the same failure as %s', (one, other) => {
    expect(normalisedMessage(one)).toBe(normalisedMessage(other));
  });

  const different: [string, string][] = [
    ['column amount is missing', 'column store is missing'],
    ['Got 3 results', 'Got 3 errors'],
    ['facade is gone', 'decade is gone'],
  ];
  test.each(different)('%s is another failure than %s', (one, other) => {
    expect(normalisedMessage(one)).not.toBe(normalisedMessage(other));
  });

  test('is settled: normalising twice changes nothing', () => {
    for (const message of [...same.flat(), ...different.flat()]) {
      expect(normalisedMessage(normalisedMessage(message))).toBe(normalisedMessage(message));
    }
  });
});
