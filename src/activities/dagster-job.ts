import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { StepHeartbeat, StepRequest } from '../contracts/step.js';
import type { StepWith } from '../pipeline/step-kinds.js';
import type { RunResult } from '../runners/runner.js';
import { keepOnly, makeAttemptDir } from './attempt-dir.js';
import { dagsterFailure, dagsterOutput } from './classify/dagster-result.js';
import { kindOfText } from './classify/error-text.js';
import { FAILING_TESTS, keepEvidence } from './classify/failing-tests.js';
import { runOnDeployment } from './dagster-deployment-run.js';
import { type StepContext, type StepDeps, StepError, type StepOutput, stepActivity } from './step-activity.js';
import type { StepSetting } from './step-environment.js';
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

/** `with` of a job that dayfill runs itself, or that a deployment runs. */
export type DagsterJob<M extends 'process' | 'graphql'> = Extract<StepWith<'dagster/job'>, { mode?: M | undefined }>;

/** Runs a Dagster job for the partition. What happened is read from Dagster's event log, by what runs the job. */
export const dagsterJob = stepActivity('dagster/job', (context): Promise<StepOutput> => {
  const { with: given, request } = context;
  const tags = tagsOf(given, request);
  return given.mode === 'graphql' ? runOnDeployment(context, given, tags) : runInProcess(context, given, tags);
});

/** Has the process that will run the job start and load it, as long as there is none, and where one stays at all. */
export async function prepareDagsterJob(
  { runner }: StepDeps,
  setting: StepSetting<'dagster/job'>,
  request: Pick<StepRequest, 'key' | 'partition'>,
): Promise<void> {
  const { with: given, env } = setting;
  if (given.mode === 'graphql') return;
  const { warm, cwd } = runnerRequest(setting, given, tagsOf(given, request));
  if (warm !== undefined) await runner.prepare({ warm, cwd, env });
}

function tagsOf({ tags }: StepWith<'dagster/job'>, { key, partition }: Pick<StepRequest, 'key' | 'partition'>) {
  return { ...tags, 'dagster/partition': partition.key, 'dayfill/key': key };
}

async function runInProcess(
  context: StepContext<'dagster/job'>,
  job: DagsterJob<'process'>,
  tags: Record<string, string>,
): Promise<StepOutput> {
  const directory = await makeAttemptDir(context);
  let ending: Ending | null = null;
  let lastError = '';
  try {
    const ended = await runStepProcess(context, {
      ...runnerRequest(context, job, tags),
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
}

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

function runnerRequest(
  { venv, pipelineDir, cwd }: StepSetting<'dagster/job'>,
  { project: given, cwd: ownCwd, module, job, runner }: DagsterJob<'process'>,
  tags: Record<string, string>,
) {
  const project = path.resolve(pipelineDir, given);
  const python = path.join(venv, 'bin', 'python');
  return {
    argv: [python, SCRIPT, 'dagster-job', '--module', module, '--job', job, '--tags', JSON.stringify(tags)],
    ...(runner !== 'cli' && {
      warm: {
        python,
        kind: 'dagster' as const,
        of: [project, ownCwd ?? '', module],
        ask: { module, job, tags },
      },
    }),
    cwd: ownCwd === undefined ? project : cwd,
  };
}

function outputOf(ending: Ending | null, { exitCode, killedBy }: RunResult, lastError: string): StepOutput {
  if (ending?.event === 'result') {
    if (!ending.success) throw dagsterFailure(ending.failures, exitCode);
    return dagsterOutput(ending.runId, ending.counts);
  }
  if (ending?.event === 'error') throw nothingRan(ending, exitCode);
  const how = killedBy === null ? `with exit code ${exitCode}` : `by ${killedBy}`;
  throw new StepError('step_error', `The Dagster run ended ${how} before it had a result. ${lastError}`.trim(), {
    exitCode,
  });
}

function nothingRan({ kind, message }: { kind: string; message: string }, exitCode: number | null): StepError {
  if (kind === 'missing_job' || /No module named/.test(message))
    return new StepError('missing_executable', message, { exitCode });
  return new StepError(kindOfText(message), message, { exitCode });
}
