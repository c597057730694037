import type { Failure } from '../contracts/failure.js';
import type { LedgerRow } from '../contracts/ledger.js';
import { type NoticePartition, UNEXPLAINED } from '../contracts/notice.js';
import { DONE_STATUSES } from '../contracts/status.js';

/** Adds what the ledger knows: the failure where the notice has none, and what healed a partition that is fixed. */
export function explained(one: NoticePartition, row: LedgerRow | undefined): NoticePartition {
  // A parked partition may have been answered since.
  const status =
    row !== undefined && one.status === 'waiting' && DONE_STATUSES.includes(row.status) ? row.status : one.status;
  if (row === undefined || row.status !== status) return one;
  const found = row.steps.findLast(({ failure }) => failure !== null)?.failure ?? null;
  const healedBy = status === 'fixed' ? healerOf(row) : '';
  return {
    ...one,
    status,
    step: one.step ?? found?.step ?? null,
    failure: one.failure ?? (found && told(found)),
    ...(healedBy !== '' && { healedBy }),
  };
}

/** A reminder is of everything that waits, not of the one partition whose clock rang first. @param rows the pipeline's latest. */
export function withAllThatWait(given: NoticePartition[], rows: Iterable<LedgerRow>): NoticePartition[] {
  const others = [...rows]
    .filter(({ partition, status }) => status === 'waiting' && given.every((one) => one.partition !== partition))
    .map((row) => explained({ partition: row.partition, status: 'waiting', ...UNEXPLAINED }, row));
  return [...given, ...others];
}

function told({ id, fingerprint, kind, tests, message }: Failure): NoticePartition['failure'] {
  return { id, fingerprint, kind, tests, message };
}

/** `remedy drop-doubles`, `approve (ada)`, `fix fixes/currency.sql (all_alike)`. */
function healerOf({ steps, decisions }: LedgerRow): string {
  const remedies = [...new Set(steps.flatMap((step) => step.remedies))];
  const last = decisions.findLast(({ action }) => action !== 'reject');
  return [
    ...(remedies.length === 0 ? [] : [`remedy ${remedies.join(', ')}`]),
    ...(last === undefined
      ? []
      : [`${last.action}${last.file === null ? '' : ` ${last.file}`} (${last.decidedBy ?? last.way})`]),
  ].join(' and ');
}
