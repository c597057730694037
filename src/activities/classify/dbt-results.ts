import { z } from 'zod';
import { StepError, type StepOutput } from '../step-activity.js';
import { kindOfText } from './error-text.js';

const resultSchema = z.object({
  unique_id: z.string(),
  status: z.string(),
  message: z.string().nullish(),
  adapter_response: z.object({ job_id: z.string(), bytes_billed: z.number(), slot_ms: z.number() }).partial().nullish(),
});
/** The part of dbt's run_results.json that is used here. */
export const runResultsSchema = z.object({
  metadata: z.object({ invocation_id: z.string() }),
  results: z.array(resultSchema),
});
export type RunResults = z.infer<typeof runResultsSchema>;
type NodeResult = z.infer<typeof resultSchema>;

const BROKEN = new Set(['error', 'runtime error', 'fail', 'partial success']);
/** What is told of a build whose models failed in several ways. */
const FIRST_OF_KINDS = ['limit', 'sql_error'] as const;
/** History is no place for thousands of ids; the log has them all. */
const MOST_JOB_IDS = 100;

/**
 * Why the build did not succeed, by its results; null when every node did. A model's own error is told before failing
 * tests, and before what another try may heal, unless all of it is of that sort.
 */
export function dbtFailure({ results }: RunResults, exitCode: number | null): StepError | null {
  // dbt lists them as its threads end; the same failure has to read the same on every day.
  const broken = results
    .filter(({ status }) => BROKEN.has(status))
    .sort((a, b) => (a.unique_id < b.unique_id ? -1 : 1));
  if (broken.length === 0) return null;
  const models = broken.filter((result) => !isTest(result));
  const kinds = models.map(({ message }) => kindOfText(message ?? ''));
  const firm = models.filter((_, i) => kinds[i] !== 'transient');
  if (firm.length > 0) {
    const kind = FIRST_OF_KINDS.find((one) => kinds.includes(one)) ?? 'step_error';
    return new StepError(kind, firm.map(errorMessage).join('\n'), { exitCode });
  }
  const transient = broken.filter(
    ({ status, message }) => status !== 'fail' && kindOfText(message ?? '') === 'transient',
  );
  if (transient.length > 0) return new StepError('transient', transient.map(errorMessage).join('\n'), { exitCode });
  const message = broken.map((test) => `Failure in test ${nameOf(test)}: ${errorMessage(test)}`).join('\n');
  return new StepError('test_failure', message, { tests: broken.map(nameOf), exitCode });
}

/** Counts by status, jobs and cost of a build that succeeded. */
export function dbtOutput({ metadata, results }: RunResults): StepOutput {
  const counts: Record<string, number> = {};
  for (const { status } of results) counts[status] = (counts[status] ?? 0) + 1;
  const tests = results.filter((result) => isTest(result) && result.status !== 'skipped');
  const jobIds = results.flatMap(({ adapter_response }) => adapter_response?.job_id ?? []);
  return {
    counts,
    tests: { run: tests.length, warned: tests.filter(({ status }) => status === 'warn').length },
    jobIds: [metadata.invocation_id, ...jobIds].slice(0, MOST_JOB_IDS),
    bytesBilled: sum(results.map(({ adapter_response }) => adapter_response?.bytes_billed)),
    slotMs: sum(results.map(({ adapter_response }) => adapter_response?.slot_ms)),
  };
}

function isTest({ unique_id: id }: NodeResult): boolean {
  return id.startsWith('test.') || id.startsWith('unit_test.');
}

/** `test.<package>.<name>.<hash>`, `unit_test.<package>.<model>.<name>`, `model.<package>.<name>`. */
function nameOf({ unique_id: id }: NodeResult): string {
  const parts = id.split('.');
  return parts[id.startsWith('unit_test.') ? 3 : 2] ?? id;
}

/** Without the path of the compiled file, which is another one for each attempt. */
function errorMessage({ message }: NodeResult): string {
  return (message ?? 'no message').replace(/\n\s*compiled code at .*/g, '').trim();
}

/** Null when there is nothing to add up. */
function sum(values: (number | undefined)[]): number | null {
  const numbers = values.filter((value) => value !== undefined);
  return numbers.length === 0 ? null : numbers.reduce((total, value) => total + value, 0);
}
