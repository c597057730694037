import type { ActivityKind } from '../contracts/step.js';
import { LostProgramError, MissingExecutableError, type RunRequest, type RunResult } from '../runners/runner.js';
import { type StepContext, StepError } from './step-activity.js';
import { StepProtection } from './step-protection.js';

type ProcessRequest = Pick<RunRequest, 'argv' | 'cwd' | 'warm' | 'onStdoutLine' | 'onStderrLine'> & {
  /** Besides what every process of the step gets. */
  env?: Record<string, string>;
};

/**
 * Runs the process of a step. An attempt after the first stops what the one before left running, here and in BigQuery;
 * and a step that is cancelled, times out or is killed leaves no BigQuery job running, which killing a process does not end.
 * @throws StepError of kind `missing_executable`, of kind `pipeline` when dbt was kept from replacing a protected table, or
 * the signal's reason once the process is gone.
 */
export async function runStepProcess<K extends ActivityKind>(
  context: StepContext<K>,
  { env, ...process }: ProcessRequest,
): Promise<RunResult> {
  const { deps, request, log, signal } = context;
  if (context.attempt > 1) {
    await deps.runner.takeOver(request.key);
    await cancelJobs(context);
  }
  const protection = await StepProtection.open(context);
  log.write(`$ ${process.argv.map(quoted).join(' ')}`);
  try {
    const result = await deps.runner.run({
      ...process,
      env: { ...context.env, ...protection.env, ...env },
      key: request.key,
      log,
      signal,
      onStart: (pid) => context.heartbeat({ pid }),
    });
    if (result.killedBy !== null) await cancelJobs(context);
    await protection.settle();
    return result;
  } catch (error) {
    if (error instanceof MissingExecutableError) throw new StepError('missing_executable', error.message);
    if (error instanceof LostProgramError) throw new StepError('transient', error.message);
    if (signal.aborted && isOurs(signal.reason))
      await cancelJobs(context).catch((failure) => log.write(`# ${failure.message}`));
    throw error;
  } finally {
    await protection.close();
  }
}

/** @throws StepError of kind `transient` when the warehouse does not do it. */
export async function cancelJobs<K extends ActivityKind>({ deps, request, labels }: StepContext<K>): Promise<void> {
  try {
    await deps.cancelLabelledJobs(request.project ?? undefined, labels);
  } catch (error) {
    throw new StepError(
      'transient',
      `The BigQuery jobs that an earlier attempt may have left running could not be cancelled: ${(error as Error).message}`,
    );
  }
}

/** Only then are the jobs with the step's labels this attempt's: one that Temporal gave up on may have a successor. */
export function isOurs(reason: unknown): boolean {
  return reason instanceof StepError || (reason as Error).message === 'CANCELLED';
}

function quoted(argument: string): string {
  return /^[\w@%+=:,./~-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`;
}
