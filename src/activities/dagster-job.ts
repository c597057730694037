import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { StepHeartbeat } from '../contracts/step.js';
import type { RunResult } from '../runners/runner.js';
import { keepOnly, makeAttemptDir } from './attempt-dir.js';
import { kindOfText } from './classify/error-text.js';
import { FAILING_TESTS, keepEvidence } from './classify/failing-tests.js';
import { type StepContext, StepError, type StepOutput, stepActivity } from './step-activity.js';
import { runStepProcess } from './step-process.js';

const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const SCRIPT = path.join(packageRoot, 'warehouse/runner/run.py');

const resultSchema = z.object({
  event: z.literal('result'),
  runId: z.string(),
  success: z.boolean(),
  failures: z.array(z.object({ step: z.string().nullable(), message: z.string() })),
  counts: z.record(z.string(), z.number()),
});
/** What warehouse/runner says of a run, a JSON line each. */
const eventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('run'), runId: z.string() }),
  z.object({ event: z.literal('progress'), done: z.number(), total: z.number(), current: z.string().nullable() }),
  z.object({ event: z.literal('canceled'), runId: z.string() }),
  z.object({ event: z.literal('error'), kind: z.string(), message: z.string() }),
  resultSchema,
]);
type DagsterEvent = z.infer<typeof eventSchema>;
type Ending = Exclude<DagsterEvent, { event: 'run' | 'progress' }>;

/** Runs a Dagster job for the partition. What happened is read from Dagster's event log, by what runs the job. */
export const dagsterJob = stepActivity('dagster/job', async (context): Promise<StepOutput> => {
  const directory = await makeAttemptDir(context);
  let ending: Ending | null = null;
  let lastError = '';
  try {
    const ended = await runStepProcess(context, {
      ...runnerRequest(context),
      cwd: context.with.cwd === undefined ? path.resolve(context.pipelineDir, context.with.project) : context.cwd,
      env: { DBT_TARGET_PATH: directory, DBT_LOG_PATH: directory },
      onStdoutLine: (line) => {
        const event = eventOf(line);
        if (event?.event === 'run') context.heartbeat({ runId: event.runId });
        else if (event?.event === 'progress') context.heartbeat(progressOf(event));
        else if (event !== null) ending = event;
        return line;
      },
      onStderrLine: (line) => {
        if (line.trim() !== '') lastError = line.trim();
        return line;
      },
    });
    return outputOf(ending, ended, lastError);
  } catch (error) {
    if (error instanceof StepError) {
      error.evidence = await keepEvidence(context.deps.config.stateDir, directory, error.tests);
    }
    throw error;
  } finally {
    await keepOnly(directory, [FAILING_TESTS]);
  }
});

/** Null for a line that is none of the script's. */
function eventOf(line: string): DagsterEvent | null {
  try {
    return eventSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

function progressOf({ done, total, current }: Extract<DagsterEvent, { event: 'progress' }>): StepHeartbeat {
  return { done, total, ...(current !== null && { current }) };
}

function runnerRequest({ request, venv, pipelineDir, with: given }: StepContext<'dagster/job'>) {
  const { module, job, runner } = given;
  const tags = { ...given.tags, 'dagster/partition': request.partition.key, 'dayfill/key': request.key };
  const python = path.join(venv, 'bin', 'python');
  return {
    argv: [python, SCRIPT, 'dagster-job', '--module', module, '--job', job, '--tags', JSON.stringify(tags)],
    ...(runner !== 'cli' && {
      warm: {
        python,
        kind: 'dagster' as const,
        of: [path.resolve(pipelineDir, given.project), given.cwd ?? '', module],
        ask: { module, job, tags },
      },
    }),
  };
}

function outputOf(ending: Ending | null, { exitCode, killedBy }: RunResult, lastError: string): StepOutput {
  if (ending?.event === 'result') {
    if (!ending.success) throw failureOf(ending.failures, exitCode);
    const { dbt_pass: passed = 0, dbt_warn: warned = 0 } = ending.counts;
    return { jobIds: [ending.runId], counts: ending.counts, tests: { run: passed + warned, warned } };
  }
  if (ending?.event === 'error') throw nothingRan(ending, exitCode);
  const how = killedBy === null ? `with exit code ${exitCode}` : `by ${killedBy}`;
  throw new StepError('step_error', `The Dagster run ended ${how} before it had a result. ${lastError}`.trim(), {
    exitCode,
  });
}

/** Failing tests are told before all else, because remedies are found by them. */
function failureOf(failures: { step: string | null; message: string }[], exitCode: number | null): StepError {
  const message = failures.map(({ step, message }) => (step === null ? message : `${step}: ${message}`)).join('\n');
  const tests = [...new Set([...message.matchAll(/Failure in test ([\w.-]*\w)/g)].map(([, name]) => name!))].sort();
  return new StepError(tests.length > 0 ? 'test_failure' : kindOfText(message), message, { tests, exitCode });
}

function nothingRan({ kind, message }: { kind: string; message: string }, exitCode: number | null): StepError {
  if (kind === 'missing_job' || /No module named/.test(message))
    return new StepError('missing_executable', message, { exitCode });
  return new StepError(kindOfText(message), message, { exitCode });
}
