import type { AlikeInput, DecisionRecord, StandingDecision } from '../contracts/decision.js';
import type { LedgerRow } from '../contracts/ledger.js';
import { PartitionError } from './errors.js';
import { healedRows } from './healed-rows.js';

/**
 * The latest decision that healed a partition of the fingerprint, and is the one that is asked for.
 * @param rows the pipeline's rows of the ledger.
 * @throws PartitionError when no partition was healed so.
 */
export function canaryOf(pipeline: string, rows: LedgerRow[], alike: AlikeInput): StandingDecision {
  const healed = healedRows(rows)
    .sort((a, b) => (a.recordedAt < b.recordedAt ? 1 : -1))
    .flatMap(({ partition, decisions }) => {
      const last = decisions.findLast(({ fingerprint }) => fingerprint === alike.fingerprint);
      return last === undefined ? [] : [{ partition, decision: last }];
    });
  const found = healed.find(({ decision }) => isAskedFor(decision, alike));
  if (found === undefined) {
    const others = healed.map(({ partition, decision: { action } }) => `${partition} by ${action}`);
    throw new PartitionError(
      others.length === 0
        ? `No partition of ${pipeline} with the fingerprint ${alike.fingerprint} has been healed yet: decide one of them first, and release the others when it has succeeded.`
        : `No partition of ${pipeline} was healed by that decision, but ${others.slice(0, 3).join(', ')}: decide one of them so first, or leave the action out.`,
    );
  }
  const { action, sql, file, afterwards } = found.decision;
  return {
    fingerprint: alike.fingerprint,
    action: action as StandingDecision['action'],
    sql,
    file,
    then: afterwards ?? 'retry',
    canary: found.partition,
    note: alike.note ?? null,
    by: alike.by ?? null,
  };
}

function isAskedFor({ action, sha256, file }: DecisionRecord, alike: AlikeInput): boolean {
  return (
    (action === 'retry' || action === 'fix' || action === 'approve') &&
    (alike.action === undefined || alike.action === action) &&
    (alike.proposal === undefined || alike.proposal === sha256) &&
    (alike.file === undefined || alike.file === file)
  );
}
