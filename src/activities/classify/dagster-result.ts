import { StepError, type StepOutput } from '../step-activity.js';
import { kindOfText } from './error-text.js';

/** What a step of a run said when it failed; `step` is null for the run as a whole. */
export interface DagsterFailure {
  step: string | null;
  message: string;
}

/** What a run that succeeded has to tell; dbt's tests are counted where the job says how many there were. */
export function dagsterOutput(runId: string, counts: Record<string, number>): StepOutput {
  const { dbt_pass: passed = 0, dbt_warn: warned = 0 } = counts;
  return { jobIds: [runId], counts, tests: { run: passed + warned, warned } };
}

/** Failing tests are told before all else, because remedies are found by them. */
export function dagsterFailure(failures: DagsterFailure[], exitCode: number | null): StepError {
  const message = failures.map(({ step, message }) => (step === null ? message : `${step}: ${message}`)).join('\n');
  const tests = [...new Set([...message.matchAll(/Failure in test ([\w.-]*\w)/g)].map(([, name]) => name!))].sort();
  return new StepError(tests.length > 0 ? 'test_failure' : kindOfText(message), message, { tests, exitCode });
}
