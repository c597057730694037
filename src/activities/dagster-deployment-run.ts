import { setTimeout } from 'node:timers/promises';
import {
  DagsterDeployment,
  DagsterError,
  type DagsterRun,
  type DagsterStatus,
  isOver,
  type RunNews,
} from '../runners/dagster-deployment.js';
import { DagsterEvents } from './classify/dagster-events.js';
import { type DagsterFailure, dagsterFailure, dagsterOutput } from './classify/dagster-result.js';
import { kindOfText } from './classify/error-text.js';
import type { DagsterJob } from './dagster-job.js';
import { type StepContext, StepError, type StepOutput } from './step-activity.js';
import { cancelJobs, isOurs } from './step-process.js';

/**
 * Asking costs the webserver some ten milliseconds; its subscriptions would save the second, and need a WebSocket through
 * every proxy before it and this same way for when it breaks.
 */
const POLL_MS = 1000;
/** A run goes on while its webserver is replaced; past this the step fails for now, and the next attempt finds the run. */
const SILENCE_MS = 5 * 60_000;
/** Until a run that was told to stop must have ended; Dagster itself gives up after three minutes. */
const STOP_MS = 4 * 60_000;

const NOT_AT_WORK: Partial<Record<DagsterStatus, string>> = {
  QUEUED: "in Dagster's queue",
  NOT_STARTED: 'about to be started by Dagster',
  STARTING: 'being started by Dagster',
  CANCELING: 'being cancelled in Dagster',
};

interface EndedRun extends DagsterRun {
  counts: Record<string, number>;
  failures: DagsterFailure[];
}

/** Has a Dagster deployment run the job, and follows the run; one that an attempt before launched is followed on. */
export async function runOnDeployment(
  context: StepContext<'dagster/job'>,
  job: DagsterJob<'graphql'>,
  tags: Record<string, string>,
): Promise<StepOutput> {
  try {
    return await new DeploymentRun(context, job, tags).output();
  } catch (error) {
    if (!(error instanceof DagsterError)) throw error;
    const kinds = {
      transient: 'transient',
      missing: 'missing_executable',
      refused: kindOfText(error.message),
    } as const;
    throw new StepError(kinds[error.reason], error.message);
  }
}

class DeploymentRun {
  private readonly deployment: DagsterDeployment;
  /** The same for each attempt at this activity, and another for the next: by it an attempt finds the run of the one before. */
  private readonly own: Record<string, string>;
  private readonly ofKey: Record<string, string>;
  private heardAt = 0;

  constructor(
    private readonly context: StepContext<'dagster/job'>,
    private readonly job: DagsterJob<'graphql'>,
    private readonly tags: Record<string, string>,
  ) {
    this.deployment = new DagsterDeployment(job.url, job.headers ?? {});
    this.ofKey = { 'dayfill/key': context.request.key };
    this.own = { ...this.ofKey, 'dayfill/labels': JSON.stringify(context.labels) };
  }

  async output(): Promise<StepOutput> {
    const found = await this.found();
    if (found !== null) {
      this.context.log.write(`# run ${found.runId}, found as the last attempt left it`);
      const ended = await this.followed(found.runId);
      // What had failed for now before this attempt has been told, and this is the other try.
      const isSpent = found.status === 'FAILURE' && dagsterFailure(ended.failures, null).kind === 'transient';
      if (!isSpent) return outputOf(ended);
    }
    return outputOf(await this.followed(await this.launched()));
  }

  /** The run of the attempt before. Whatever else goes on under the step's key was left by a workflow that is gone, and is ended. */
  private async found(): Promise<DagsterRun | null> {
    const [[latest = null], open] = await Promise.all([
      this.deployment.runsTagged(this.own, 'all'),
      this.deployment.runsTagged(this.ofKey, 'open'),
    ]);
    for (const { runId } of open.filter((run) => run.runId !== latest?.runId)) {
      this.context.log.write(`# run ${runId} of an earlier run of the step is ended`);
      const why = await this.stopped(runId);
      if (why !== null) throw new StepError('step_error', `An earlier run of the step goes on in Dagster: ${why}`);
    }
    return latest;
  }

  private async launched(): Promise<string> {
    const place = await this.deployment.findJob(this.job);
    const config = await this.deployment.partitionConfig(place, this.context.request.partition.key);
    this.context.signal.throwIfAborted();
    return this.deployment.launch(place, config, { ...this.tags, ...this.own });
  }

  /** @throws the signal's reason; by then the run has ended, unless it is left to the next attempt. */
  private async followed(runId: string): Promise<EndedRun> {
    const { context, deployment } = this;
    context.heartbeat({ runId });
    context.log.write(`# run ${runId}: ${deployment.runUrl(runId)}`);
    let events: DagsterEvents | null = null;
    let cursor: string | null = null;
    this.heardAt = Date.now();
    for (;;) {
      if (context.signal.aborted) throw await this.aborted(runId);
      const news = await this.news(runId, cursor);
      if (news !== null) {
        const { status, stepKeysToExecute, eventConnection } = news;
        events ??= new DagsterEvents(stepKeysToExecute?.length ?? 0);
        for (const event of eventConnection.events) context.log.write(events.take(event));
        await context.log.drained();
        context.heartbeat({ ...events.progress, current: NOT_AT_WORK[status] ?? events.progress.current });
        cursor = eventConnection.cursor;
        if (eventConnection.hasMore) continue;
        if (isOver(status)) return { runId, status, counts: events.counts, failures: events.failures };
      }
      await setTimeout(POLL_MS, undefined, { signal: context.signal }).catch(() => {});
    }
  }

  /** Null while the webserver does not answer: the run goes on without it. */
  private async news(runId: string, cursor: string | null): Promise<RunNews | null> {
    try {
      const news = await this.deployment.news(runId, cursor);
      this.heardAt = Date.now();
      return news;
    } catch (error) {
      const mayPass = error instanceof DagsterError && error.reason === 'transient';
      if (!mayPass || Date.now() - this.heardAt > SILENCE_MS) throw error;
      this.context.log.write(`# ${error.message}`);
      this.context.heartbeat({ current: 'out of sight: the webserver of Dagster does not answer' });
      return null;
    }
  }

  /** A run whose worker is lost or shuts down goes on, for the next attempt to follow. */
  private async aborted(runId: string): Promise<unknown> {
    const { signal, log } = this.context;
    if (!isOurs(signal.reason)) return signal.reason;
    const why = await this.stopped(runId);
    if (why !== null) log.write(`# ${why}`);
    if (why !== null && signal.reason instanceof StepError) signal.reason.message += ` ${why}`;
    await cancelJobs(this.context).catch((failure) => log.write(`# ${failure.message}`));
    return signal.reason;
  }

  /** Ends a run and waits until it has ended; gives why it has not, or null. */
  private async stopped(runId: string): Promise<string | null> {
    let why = 'it has been told to stop';
    for (const since = Date.now(); Date.now() - since < STOP_MS; await setTimeout(POLL_MS)) {
      try {
        const { status } = (await this.deployment.find(runId)) ?? { status: 'CANCELED' as const };
        if (isOver(status)) return null;
        // Dagster ends no run that it is just starting, so that it is asked again.
        if (status !== 'CANCELING') why = (await this.deployment.terminate(runId)) ?? why;
      } catch (error) {
        why = (error as Error).message;
      }
    }
    return `The run ${this.deployment.runUrl(runId)} has not ended within ${STOP_MS / 60_000} minutes (${why}): end it in Dagster.`;
  }
}

/** @throws StepError for a run that did not succeed. */
function outputOf({ runId, status, counts, failures }: EndedRun): StepOutput {
  if (status === 'SUCCESS') return dagsterOutput(runId, counts);
  if (status === 'CANCELED') throw new StepError('cancelled', `The Dagster run ${runId} was cancelled in Dagster.`);
  throw dagsterFailure(failures, null);
}
