import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { ApplicationFailure, type CancelledFailure, Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import type { Config } from '../config.js';
import type { StepActivity } from '../contracts/activities.js';
import type { FailureKind, StepFailure } from '../contracts/failure.js';
import type { ActivityKind, StepHeartbeat, StepRequest, StepResult } from '../contracts/step.js';
import { type StepWith, stepKinds } from '../pipeline/step-kinds.js';
import { LogFile } from '../runners/log-file.js';
import { maskPersonal } from '../runners/mask.js';
import type { Runner } from '../runners/runner.js';
import { firstBytes } from '../runners/text.js';
import { childEnvironment, stepLabels } from './step-environment.js';

const HEARTBEAT_MS = 1000;
const MESSAGE_BYTES = 4096;

/** What step activities need of the worker. */
export interface StepDeps {
  config: Config;
  runner: Runner;
  logger: Logger;
  /** Cancels the running BigQuery jobs with these labels and waits until they have ended. */
  cancelLabelledJobs(projectId: string | undefined, labels: Record<string, string>): Promise<void>;
}

/** What one attempt at a step of a kind has to work with. */
export interface StepContext<K extends ActivityKind = ActivityKind> {
  deps: StepDeps;
  request: StepRequest;
  /** The step's `with`, typed. */
  with: StepWith<K>;
  /** Absolute; where relative paths in `with` start. */
  pipelineDir: string;
  /** Absolute: `with.cwd`, else the pipeline's folder. */
  cwd: string;
  /** Absolute: `with.venv`, else the environment of the settings. */
  venv: string;
  /** What processes of the step find in their environment. */
  env: Record<string, string>;
  /** What every BigQuery job of the step carries; the same for each attempt. */
  labels: Record<string, string>;
  /** From 1; an attempt after the first may find what the one before left running. */
  attempt: number;
  /** What the attempt before said last. */
  lastHeartbeat: StepHeartbeat;
  log: LogFile;
  /** Aborts on cancellation, on the step's time-out and when the worker shuts down. */
  signal: AbortSignal;
  /** Adds to what is reported as progress within a second. */
  heartbeat(partial: StepHeartbeat): void;
}

/** What a step kind returns; what it leaves out is nought. */
export type StepOutput = Partial<Omit<StepResult, 'log'>>;

/** A classified failure, as a step kind throws it. The wrapper adds tail and log, masks and cuts. */
export class StepError extends Error {
  override name = 'StepError';
  readonly tests: string[];
  readonly exitCode: number | null;
  /** Where the failing tests are described; see `StepFailure.evidence`. */
  evidence: string | null = null;

  constructor(
    readonly kind: FailureKind,
    message: string,
    { tests = [], exitCode = null }: { tests?: string[]; exitCode?: number | null } = {},
  ) {
    super(message);
    this.tests = tests;
    this.exitCode = exitCode;
  }
}

/**
 * Makes the activity of a step kind from what is particular to the kind. Around it: the log, the heartbeat, the time-out,
 * cancellation, and the classification of whatever is thrown.
 */
export function stepActivity<K extends ActivityKind>(
  kind: K,
  run: (context: StepContext<K>) => Promise<StepOutput>,
): (deps: StepDeps) => StepActivity {
  return (deps) => (request) => new StepAttempt(kind, deps, request).run(run);
}

class StepAttempt<K extends ActivityKind> {
  private readonly activity = Context.current();
  private readonly timeout = new AbortController();
  private readonly previous: StepHeartbeat = this.activity.info.heartbeatDetails ?? {};
  private readonly progress: StepHeartbeat = carriedOver(this.previous);

  constructor(
    private readonly kind: K,
    private readonly deps: StepDeps,
    private readonly request: StepRequest,
  ) {}

  async run(run: (context: StepContext<K>) => Promise<StepOutput>): Promise<StepResult> {
    const beat = () => this.activity.heartbeat(this.progress);
    if (this.activity.info.attempt > 1) beat();
    const heartbeat = setInterval(beat, HEARTBEAT_MS);
    const clock = setTimeout(() => this.timeout.abort(this.timeoutError()), this.request.timeoutMs);
    let log: LogFile | null = null;
    try {
      log = await LogFile.create(this.deps.config.stateDir, this.logPath());
      const output = await this.runLogged(run, log);
      await log.close();
      return { ...NOTHING, ...output, log: log.path };
    } catch (error) {
      throw await this.failure(error, log);
    } finally {
      clearInterval(heartbeat);
      clearTimeout(clock);
    }
  }

  private async runLogged(run: (context: StepContext<K>) => Promise<StepOutput>, log: LogFile): Promise<StepOutput> {
    const { deps, request } = this;
    const given = stepKinds[this.kind].parse(request.with) as StepWith<K>;
    const pipelineDir = path.join(deps.config.pipelinesDir, request.pipeline);
    const venv = given.venv === undefined ? deps.config.venv : path.resolve(pipelineDir, given.venv);
    const labels = stepLabels(request, this.activity.info.workflowExecution?.runId ?? '');
    const env = childEnvironment(deps.config, { key: request.key, labels, venv, passed: given.env ?? [] });
    await mkdir(env.DAGSTER_HOME!, { recursive: true });
    const attempt = this.activity.info.attempt;
    log.write(`# ${request.key}: ${this.kind}, attempt ${attempt}, ${new Date().toISOString()}`);
    return run({
      deps,
      request,
      with: given,
      pipelineDir,
      cwd: path.resolve(pipelineDir, given.cwd ?? '.'),
      venv,
      env,
      labels,
      attempt,
      lastHeartbeat: this.previous,
      log,
      signal: AbortSignal.any([this.activity.cancellationSignal, this.timeout.signal]),
      heartbeat: (partial) => void Object.assign(this.progress, partial),
    });
  }

  /** What to throw: the cancellation, a retry for a worker that shuts down, or the failure with its classification. */
  private async failure(error: unknown, log: LogFile | null): Promise<Error> {
    const { cancellationSignal } = this.activity;
    const cause = cancellationSignal.aborted ? cancellationSignal.reason : (this.timeout.signal.reason ?? error);
    log?.write(`# ${cause instanceof Error ? cause.message : cause}`);
    await log
      ?.close()
      .catch((closing) => this.deps.logger.error({ err: closing, key: this.request.key }, closing.message));
    if (cancellationSignal.aborted) return stopped(cancellationSignal.reason);
    if (!(cause instanceof StepError))
      this.deps.logger.error({ err: cause, key: this.request.key }, 'step failed unexpectedly');
    return this.applicationFailure(this.classified(cause, log));
  }

  private classified(cause: unknown, log: LogFile | null): StepFailure {
    const message = cause instanceof Error ? cause.message : String(cause);
    const known = cause instanceof StepError ? cause : new StepError('internal', message);
    return {
      kind: known.kind,
      tests: known.tests,
      message: firstBytes(maskPersonal(known.message), MESSAGE_BYTES),
      tail: log?.tail() ?? '',
      log: log?.path ?? null,
      evidence: known.evidence,
      exitCode: known.exitCode,
    };
  }

  /** A transient failure is retried until `retry.attempts` of them have happened; they are counted in the heartbeat. */
  private applicationFailure(failure: StepFailure): ApplicationFailure {
    const { attempts, initialMs } = this.request.retry;
    const details = { message: failure.message, type: failure.kind, details: [failure] };
    if (failure.kind !== 'transient') return ApplicationFailure.create({ ...details, nonRetryable: true });
    const count = (this.progress.transientFailures ?? 0) + 1;
    if (count >= attempts) return ApplicationFailure.create({ ...details, nonRetryable: true });
    this.progress.transientFailures = count;
    this.activity.heartbeat(this.progress);
    return ApplicationFailure.create({ ...details, nonRetryable: false, nextRetryDelay: initialMs * 2 ** (count - 1) });
  }

  private timeoutError(): StepError {
    return new StepError(
      'timeout',
      `The step ran longer than its timeout of ${this.request.timeoutMs / 1000} s and was stopped.`,
    );
  }

  /** The key is `<variant>/<partition>/<step>`. */
  private logPath(): string {
    const folders = this.request.key.split('/').map((part) => part.replace(/[^\w.~-]/g, '_'));
    return `${path.posix.join('logs', ...folders)}-${new Date().toISOString().replace(/[:.]/g, '-')}.log`;
  }
}

const NOTHING: Omit<StepResult, 'log'> = {
  counts: {},
  tests: { run: 0, warned: 0 },
  bytesBilled: null,
  slotMs: null,
  jobIds: [],
  state: null,
};

/** What the next attempt must know; progress starts anew. */
function carriedOver({ jobId, runId, transientFailures }: StepHeartbeat): StepHeartbeat {
  return {
    ...(jobId !== undefined && { jobId }),
    ...(runId !== undefined && { runId }),
    ...(transientFailures !== undefined && { transientFailures }),
  };
}

/** A worker that shuts down is not the step's fault: Temporal gives the step to the next one. */
function stopped(reason: CancelledFailure): Error {
  if (reason.message !== 'WORKER_SHUTDOWN') return reason;
  return ApplicationFailure.create({
    message: 'The worker was shut down.',
    type: 'WorkerShutdown',
    nonRetryable: false,
  });
}
