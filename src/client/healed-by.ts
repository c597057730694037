import type { DecisionRecord } from '../contracts/decision.js';
import type { Failure } from '../contracts/failure.js';
import type { LedgerRow } from '../contracts/ledger.js';

/** A decision that healed a failure by SQL. */
export interface Healing {
  failure: Failure;
  sql: string;
  sha256: string;
  /** File that the SQL came from, relative to the pipeline's folder; null for any other SQL. */
  file: string | null;
  afterwards: 'retry' | 'continue';
}

/** A decision with the failure of its step that it was after. */
interface Answer {
  decision: DecisionRecord;
  failure: Failure;
  /** How often the step had been run to an end by then. */
  attempts: number;
}

/**
 * What healed the failures of a partition by SQL, in order: for each failure the last decision, if that had any.
 * @param rows of the partition, oldest first; those of the run that healed it are looked at.
 */
export function healingsOf(rows: LedgerRow[]): Healing[] {
  const last = rows.at(-1);
  if (last?.status !== 'fixed') return [];
  const lastOf = new Map<string, Answer>();
  for (const answer of answersOf(
    rows.filter(({ runId }) => runId === last.runId),
    last.decisions,
  )) {
    lastOf.delete(answer.failure.fingerprint);
    lastOf.set(answer.failure.fingerprint, answer);
  }
  return [...lastOf.values()].flatMap(({ failure, decision: { sql, sha256, file, afterwards } }) =>
    sql === null || sha256 === null ? [] : [{ failure, sql, sha256, file, afterwards: afterwards ?? 'retry' }],
  );
}

/** What healed a partition, in words: `the remedy dedupe and the decision retry`; null when nothing had to. */
export function healedBy({ steps, decisions }: LedgerRow): string | null {
  const remedies = new Set(steps.flatMap((step) => step.remedies));
  const words = [
    ...[...remedies].map((id) => `the remedy ${id}`),
    ...new Set(decisions.filter(({ action }) => action !== 'reject').map(({ action }) => `the decision ${action}`)),
  ];
  return words.length === 0 ? null : words.join(' and ');
}

function answersOf(rows: LedgerRow[], decisions: DecisionRecord[]): Answer[] {
  const answers: Answer[] = [];
  for (const decision of decisions) {
    const found = rows
      .flatMap(({ steps }) => steps)
      .find(({ failure }) => failure !== null && failure.id === decision.failure);
    // A broken pipeline file is mended in the file, whatever is answered.
    if (decision.action === 'reject' || found === undefined || found.failure!.kind === 'pipeline') continue;
    const answer = { decision, failure: found.failure!, attempts: found.attempts };
    const before = answers.findLast(({ decision: { step } }) => step === decision.step);
    answers.push(before !== undefined && isOfTheFix(answer, before) ? { ...answer, failure: before.failure } : answer);
  }
  return answers;
}

/** Whether a failure came from the fix before it, which did not heal: then both answers were to the failure before. */
function isOfTheFix({ failure, attempts }: Answer, before: Answer): boolean {
  return (
    before.decision.sql !== null &&
    attempts === before.attempts &&
    failure.tests.every((test) => before.failure.tests.includes(test))
  );
}
