import type { LedgerRow } from '../contracts/ledger.js';
import { healedRows } from '../pipeline/healed-rows.js';
import { maskPersonal } from '../runners/mask.js';
import type { Adviser, PastDecision } from './adviser.js';

/** Decisions with SQL for a fingerprint on partitions that ended `fixed` and were not undone, latest first. */
export function pastDecisions(rows: LedgerRow[], fingerprint: string): PastDecision[] {
  const masked = (text: string | null) => (text === null ? null : maskPersonal(text));
  return healedRows(rows)
    .flatMap(({ partition, decisions }) =>
      decisions.flatMap(({ sql, sha256, note, decidedBy, decidedAt, ...decision }) =>
        sql === null || decision.fingerprint !== fingerprint
          ? []
          : [{ partition, sql, sha256, note: masked(note), decidedBy: masked(decidedBy), decidedAt }],
      ),
    )
    .sort((a, b) => b.decidedAt.localeCompare(a.decidedAt));
}

/** Suggests again what healed the same failure last: the same SQL, so that its hash is known already. */
export const pastDecisionAdviser: Adviser = {
  name: 'rules',
  async propose({ past: [last] }, refused) {
    if (last === undefined || refused !== undefined) return null;
    const by = last.decidedBy === null ? '' : ` by ${last.decidedBy}`;
    const why = last.note === null ? '' : ` ("${last.note}")`;
    return {
      sql: last.sql,
      explanation: `This SQL healed the same failure of ${last.partition}, as decided${by} on ${last.decidedAt.slice(0, 10)}${why}.`,
      confidence: 0.9,
      remedyClass: 'past_decision',
      expectedRows: null,
    };
  },
};
