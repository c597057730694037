import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { ApplicationFailure, type CancelledFailure, Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import type { Config } from '../config.js';
import type { StepActivity } from '../contracts/activities.js';
import type { FailureKind, StepFailure } from '../contracts/failure.js';
import type { LimitWarning, StepLimits, Usage } from '../contracts/limits.js';
import type { ActivityKind, StepHeartbeat, StepRequest, StepResult } from '../contracts/step.js';
import { LogFile } from '../runners/log-file.js';
import { maskPersonal } from '../runners/mask.js';
import type { Runner } from '../runners/runner.js';
import { firstBytes } from '../runners/text.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import type { ProtectedTables } from '../warehouse/protected-tables.js';
import { TempTables } from '../warehouse/temp-tables.js';
import { type CrossedLimit, LimitWatch } from './limit-watch.js';
import { type StepSetting, stepSetting } from './step-environment.js';
import { StepJobs } from './step-jobs.js';

const HEARTBEAT_MS = 1000;
const MESSAGE_BYTES = 4096;

/** What step activities need of the worker. */
export interface StepDeps {
  config: Config;
  runner: Runner;
  logger: Logger;
  clients: BigQueryClients;
  /** Cancels the running BigQuery jobs with these labels and waits until they have ended. */
  cancelLabelledJobs(projectId: string | undefined, labels: Record<string, string>): Promise<void>;
  protectedTables: ProtectedTables;
  /** Tells the partition of a step that it crossed a limit that it only warns of. */
  warn(workflowId: string, runId: string, warning: LimitWarning): Promise<void>;
}

/** What one attempt at a step of a kind has to work with. */
export interface StepContext<K extends ActivityKind = ActivityKind> extends StepSetting<K> {
  deps: StepDeps;
  kind: K;
  request: StepRequest;
  /** What every BigQuery job of the step carries; the same for each attempt. */
  labels: Record<string, string>;
  /** Most bytes that each of them may bill; null without a bound. */
  maxBytesBilled: number | null;
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
  /** Aborts when the step has to stop by itself: by its time-out or a limit. */
  private readonly stop = new AbortController();
  private readonly previous: StepHeartbeat = this.activity.info.heartbeatDetails ?? {};
  private readonly progress: StepHeartbeat = carriedOver(this.previous);
  private readonly jobs: StepJobs;
  private watch: LimitWatch | null = null;

  constructor(
    private readonly kind: K,
    private readonly deps: StepDeps,
    private readonly request: StepRequest,
  ) {
    this.jobs = new StepJobs(kind, deps, request, this.activity.info);
  }

  async run(run: (context: StepContext<K>) => Promise<StepOutput>): Promise<StepResult> {
    if (this.activity.info.attempt > 1) this.beat();
    const heartbeat = setInterval(() => this.beat(), HEARTBEAT_MS);
    const clock = setTimeout(() => this.stop.abort(this.timeoutError()), this.request.timeoutMs);
    let log: LogFile | null = null;
    try {
      log = await LogFile.create(this.deps.config.stateDir, this.logPath());
      const output = await this.runWatched(run, log);
      const result = { ...NOTHING, ...output, ...(await this.usage(output, log)), log: log.path };
      await log.close();
      return result;
    } catch (error) {
      throw await this.failure(error, log);
    } finally {
      clearInterval(heartbeat);
      clearTimeout(clock);
      await this.watch?.stop();
    }
  }

  /** A step that ended in time may have crossed a limit all the same, so that there is a last look. */
  private async runWatched(run: (context: StepContext<K>) => Promise<StepOutput>, log: LogFile): Promise<StepOutput> {
    const { limits } = this.request;
    if (limits === undefined) return this.runLogged(run, log);
    this.watch = this.limitWatch(limits, log);
    if (this.activity.info.attempt > 1) await this.watch.look();
    this.watch.start();
    const output = await this.runLogged(run, log);
    await this.watch.stop();
    await this.watch.look();
    this.stop.signal.throwIfAborted();
    return output;
  }

  private limitWatch(limits: StepLimits, log: LogFile): LimitWatch {
    const { clients, config } = this.deps;
    // Its own queries are not the step's, and go on when those are cancelled.
    const labels = { ...this.jobs.labels, dayfill_activity: 'limits' };
    return new LimitWatch({
      limits,
      prices: config.prices,
      meter: this.jobs.meter,
      tables: limits.tempTables.map((table) => new TempTables(clients, table, labels)),
      ranMs: this.previous.ranMs ?? 0,
      told: this.progress.warned ?? [],
      crossed: (limit) => (limits.onLimit === 'warn' ? this.warn(limit, log) : this.stopFor(limit)),
      blind: (message, mayPass) => {
        log.write(`# ${message}`);
        if (!mayPass && limits.onLimit === 'wait') this.stop.abort(new StepError('step_error', message));
      },
    });
  }

  /** The jobs are cancelled while the process still ends. */
  private stopFor({ message }: CrossedLimit): void {
    if (this.stop.signal.aborted) return;
    this.stop.abort(new StepError('limit', message));
    void this.jobs.cancel();
  }

  private async warn({ name, message }: CrossedLimit, log: LogFile): Promise<void> {
    log.write(`# ${message} The step goes on: on_limit is warn.`);
    const { workflowId, runId } = this.activity.info.workflowExecution!;
    await this.deps.warn(workflowId, runId, { step: this.request.step, message });
    this.progress.warned = [...(this.progress.warned ?? []), name];
  }

  private beat(): void {
    this.activity.heartbeat({ ...this.progress, ...this.watch?.progress });
  }

  private async runLogged(run: (context: StepContext<K>) => Promise<StepOutput>, log: LogFile): Promise<StepOutput> {
    const { deps, request } = this;
    const { labels } = this.jobs;
    const maxBytesBilled = this.watch?.bytesLeft ?? null;
    const setting = stepSetting(this.kind, deps.config, request, { labels, maxBytesBilled });
    mkdirSync(setting.env.DAGSTER_HOME!, { recursive: true });
    const attempt = this.activity.info.attempt;
    log.write(`# ${request.key}: ${this.kind}, attempt ${attempt}, ${new Date().toISOString()}`);
    return run({
      ...setting,
      deps,
      kind: this.kind,
      request,
      labels,
      maxBytesBilled,
      attempt,
      lastHeartbeat: this.previous,
      log,
      signal: AbortSignal.any([this.activity.cancellationSignal, this.stop.signal]),
      heartbeat: (partial) => void Object.assign(this.progress, partial),
    });
  }

  /** What to throw: the cancellation, a retry for a worker that shuts down, or the failure with its classification. */
  private async failure(error: unknown, log: LogFile | null): Promise<Error> {
    const { cancellationSignal } = this.activity;
    const cause = cancellationSignal.aborted ? cancellationSignal.reason : (this.stop.signal.reason ?? error);
    const isLimit = cause instanceof StepError && cause.kind === 'limit';
    const uncancelled = isLimit ? await this.jobs.cancel() : null;
    // What dayfill did not stop, BigQuery did, by `maximumBytesBilled`.
    if (isLimit && !this.stop.signal.aborted && this.request.limits !== undefined)
      cause.message = `A BigQuery job would cross the limits of the step and was refused: ${cause.message}`;
    if (uncancelled !== null) cause.message += ` Its BigQuery jobs could not be cancelled: ${uncancelled}`;
    log?.write(`# ${cause instanceof Error ? cause.message : cause}`);
    const usage = cancellationSignal.aborted ? null : await this.usage({}, log);
    await log
      ?.close()
      .catch((closing) => this.deps.logger.error({ err: closing, key: this.request.key }, closing.message));
    if (cancellationSignal.aborted) return stopped(cancellationSignal.reason);
    if (!(cause instanceof StepError))
      this.deps.logger.error({ err: cause, key: this.request.key }, 'step failed unexpectedly');
    return this.applicationFailure({ ...this.classified(cause, log), ...(usage && { usage }) });
  }

  /** What the step's jobs took; null when it cannot be known. */
  private async usage(output: StepOutput, log: LogFile | null): Promise<Usage | null> {
    try {
      const usage = await this.jobs.usage(output);
      return usage.bytesBilled === null && usage.slotMs === null ? null : usage;
    } catch (error) {
      log?.write(`# what its jobs took is not known: ${(error as Error).message}`);
      return null;
    }
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
    this.beat();
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
  costUsd: null,
  jobIds: [],
  state: null,
};

/** What the next attempt must know; progress starts anew. */
function carriedOver({ jobId, runId, uploads, transientFailures, ranMs, warned }: StepHeartbeat): StepHeartbeat {
  return {
    ...(uploads !== undefined && { uploads }),
    ...(jobId !== undefined && { jobId }),
    ...(runId !== undefined && { runId }),
    ...(transientFailures !== undefined && { transientFailures }),
    ...(ranMs !== undefined && { ranMs }),
    ...(warned !== undefined && { warned }),
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
