import { expect, test } from '@jest/globals';
import { pastDecisions } from '../../../src/advisers/past-decisions.js';
import type { DecisionRecord } from '../../../src/contracts/decision.js';
import type { LedgerRow } from '../../../src/contracts/ledger.js';
import { canaryOf } from '../../../src/pipeline/canary.js';

const decision = { fingerprint: 'f00df00df00d', action: 'fix', sql: 'delete …', decidedAt: '2025-07-20' };
const row = (partition: string, runId: string, status: string, minute: number) =>
  ({
    ...{ partition, runId, status, recordedAt: `2025-07-20T10:0${minute}:00Z` },
    decisions: [decision as DecisionRecord],
  }) as LedgerRow;
const canary = (rows: LedgerRow[]) => canaryOf('shop', rows, { fingerprint: 'f00df00df00d' }).canary;

test('what was undone is no canary and no past decision, until it heals again', () => {
  const fixed = row('2025-07-01', 'run-1', 'fixed', 1);
  const undone = row('2025-07-01', 'undo-1', 'failed', 2);
  expect(canary([fixed])).toBe('2025-07-01');
  expect(() => canary([fixed, undone])).toThrow(/has been healed yet/);
  expect(pastDecisions([undone, fixed], 'f00df00df00d')).toEqual([]);
  expect(canary([fixed, undone, row('2025-07-02', 'run-2', 'fixed', 1)])).toBe('2025-07-02');
  expect(canary([fixed, undone, row('2025-07-01', 'run-3', 'fixed', 3)])).toBe('2025-07-01');
});
