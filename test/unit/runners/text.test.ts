import { describe, expect, test } from '@jest/globals';
import { firstBytes, lastBytes } from '../../../src/runners/text.js';

describe.each([
  ['firstBytes', firstBytes],
  ['lastBytes', lastBytes],
])('%s', (_, cut) => {
  test.each([0, 1, 2, 3])('cuts between characters (%i)', (shift) => {
    const text = 'x'.repeat(shift) + 'ü€😀'.repeat(20) + 'x'.repeat(shift);
    const kept = cut(text, 50);
    expect(Buffer.byteLength(kept)).toBeLessThanOrEqual(50);
    expect(Buffer.byteLength(kept)).toBeGreaterThan(44);
    expect(kept).not.toContain('\ufffd');
    expect(text).toContain(kept.replace('…', ''));
  });

  test('leaves a short text alone', () => {
    expect(cut('süß', 5)).toBe('süß');
    expect(cut('', 5)).toBe('');
  });
});
