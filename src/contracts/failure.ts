import type { Usage } from './limits.js';

/**
 * Why a step did not succeed.
 *
 * - `test_failure`: one or more data tests failed; `tests` names them
 * - `sql_error`: the warehouse refused a statement; the message has the position when the warehouse gave one
 * - `mismatch`: a reconciliation found other totals in the target than in the source; the message names days and differences
 * - `step_error`: the tool ran and reported an error that is none of the others
 * - `missing_executable`: the program, virtual environment, project, job or file is not there
 * - `exit_code`: a command ended with a code that means failure, or its output said so
 * - `timeout`: the step ran past its `timeout`
 * - `limit`: it crossed one of its `limits`
 * - `cancelled`: someone cancelled it
 * - `transient`: network, 5xx, rate limit or lock; retried, and past `retry.attempts` a failure
 * - `pipeline`: the pipeline file is missing or wrong
 * - `internal`: a fault in dayfill itself
 */
export const FAILURE_KINDS = [
  'test_failure',
  'sql_error',
  'mismatch',
  'step_error',
  'missing_executable',
  'exit_code',
  'timeout',
  'limit',
  'cancelled',
  'transient',
  'pipeline',
  'internal',
] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** A classified failure as a step reports it: the details of the `ApplicationFailure` whose type is `kind`. */
export interface StepFailure {
  kind: FailureKind;
  /** Names of the failing tests; empty unless `kind` is `test_failure`. */
  tests: string[];
  /** One sentence or the tool's own message; masked, at most 4 KB. */
  message: string;
  /** Last lines of the log; masked, at most 2 KB. */
  tail: string;
  /** Where the whole log is, relative to the state directory; null when there is none. */
  log: string | null;
  /** Where the definitions of the failing tests are (`FailingTest[]` as JSON), relative to the state directory; null when there are none. */
  evidence: string | null;
  /** Exit code of the process, when there was one. */
  exitCode: number | null;
  /** What its jobs took all the same. */
  usage?: Usage;
}

/** A failure with its place in the partition: what `state`, `show` and the ledger carry. */
export interface Failure extends Omit<StepFailure, 'usage'> {
  /** Names this occurrence, so that a decision cannot hit the next one: `<run>-<n>`. */
  id: string;
  /** Equal for the same failure on different days: hash of step, kind, tests and the message without its particulars. */
  fingerprint: string;
  step: string;
}

/** What is left of a message when dates, numbers, ids and quoted values are taken out: equal on different days. */
export function normalisedMessage(message: string): string {
  return message
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '<id>')
    .replace(/\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b/gi, '<id>')
    .replace(/\d{4}-?\d{2}-?\d{2}/g, '<date>')
    .replace(/'[^']*'|"[^"]*"|`[^`]*`/g, '<value>')
    .replace(/\d+(\.\d+)?/g, '<n>')
    .replace(/\s+/g, ' ')
    .trim();
}

/** Type of the `ApplicationFailure` that ends a failed partition or backfill. */
export const PARTITION_FAILED = 'PartitionFailed';
export const BACKFILL_FAILED = 'BackfillFailed';
export const BAD_INPUT = 'BadInput';
