import type { PartitionView } from '../client/status.js';
import type { WaitingPartition } from '../client/waiting.js';
import type { Failure } from '../contracts/failure.js';
import type { Proposal, Rehearsal } from '../contracts/fix.js';

const MESSAGE = 1000;
const CELL = 300;
const PAST_SQL = 4000;
const MOST_DECISIONS = 10;

/** What `list_waiting` says of a partition. */
export function waitingShown({ pipeline, partition, failure, proposal, advising, decidesAt }: WaitingPartition) {
  const { id, fingerprint, step, kind, tests, message } = failure;
  return {
    ...{ pipeline, partition, step, failure: id, fingerprint, kind, tests, message: cut(message, MESSAGE) },
    ...{ proposal: proposal?.sha256 ?? null, advising, decidesAt },
  };
}

/** What `show_failure` says. */
export function partitionShown(view: PartitionView) {
  const { pipeline, partition, status, failure, proposal, advising, decidesAt } = view;
  return {
    ...{ pipeline, partition, status, advising, decidesAt },
    failure: failure && failureShown(failure),
    proposal: proposal && proposalShown(proposal),
    steps: view.steps.map(({ id, status: stepStatus, attempts, remedies, durationMs, failure: last }) => {
      const message = last === null ? null : cut(last.message, CELL);
      return { id, status: stepStatus, attempts, remedies, durationMs, message };
    }),
    decisions: view.decisions
      .slice(-MOST_DECISIONS)
      .map((decision) => ({ ...decision, sql: decision.sql && cut(decision.sql, PAST_SQL) })),
  };
}

function failureShown({ id, fingerprint, step, kind, tests, message, tail, exitCode }: Failure) {
  return { id, fingerprint, step, kind, tests, message, tail, exitCode };
}

/** Its SQL whole: that is what its hash stands for. */
export function proposalShown(proposal: Proposal) {
  return { ...proposal, rehearsal: rehearsalShown(proposal.rehearsal) };
}

/** A rehearsal with the long values of its sample cut. */
export function rehearsalShown(rehearsal: Rehearsal) {
  const sample = rehearsal.sample.map(({ table, before, after }) => {
    return { table, before: before && rowShown(before), after: after && rowShown(after) };
  });
  return { ...rehearsal, sample };
}

function rowShown(row: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      return [column, text.length > CELL ? cut(text, CELL) : value];
    }),
  );
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
