import { setTimeout } from 'node:timers/promises';
import type { BigQuery, Job, Query } from '@google-cloud/bigquery';
import { Context } from '@temporalio/activity';
import { shortHash } from '../contracts/ids.js';
import {
  isBytesLimit,
  isTransientWarehouseError,
  isWarehouseError,
  statusOf,
  warehouseMessage,
} from '../warehouse/errors.js';
import { partitionParams } from '../warehouse/partition-params.js';
import { type StepContext, StepError, type StepOutput } from './step-activity.js';

const POLL_MS = 500;

/** A query that a step runs as a job of its own. */
export interface StepQuery {
  /** Tells the step's jobs apart; '' for the only one. */
  name: string;
  query: string;
  location: string | null;
  /** Dataset of tables that name none. */
  dataset: string | null;
  maxBytesBilled: number | null;
  /** Besides those of the partition. */
  params?: Record<string, unknown>;
}

export interface JobStatistics {
  totalBytesBilled?: string;
  totalSlotMs?: string;
  query?: { totalBytesBilled?: string; numDmlAffectedRows?: string };
}

export interface EndedJob {
  job: Job;
  statistics: JobStatistics;
}

/**
 * Runs a query to its end, with the partition bound as DATE parameters. Its id follows from the step, so that an attempt
 * after a crash finds the job of the one before instead of running it twice.
 * @throws StepError of kind `transient` or `sql_error`, or the signal's reason once the job is cancelled.
 */
export async function runStepQuery(context: StepContext, bigquery: BigQuery, query: StepQuery): Promise<EndedJob> {
  context.signal.throwIfAborted();
  context.log.write(query.query);
  try {
    const { job, reused } = await startOrFind(context, bigquery, query);
    context.heartbeat({ jobId: job.id! });
    context.log.write(`# job ${job.id}${reused ? ', found as the last attempt left it' : ''}`);
    return { job, statistics: await finished(context, job) };
  } catch (error) {
    throw classified(error);
  }
}

/** Ids and costs of a step's jobs. */
export function jobsOutput(jobs: EndedJob[]): Pick<StepOutput, 'jobIds' | 'bytesBilled' | 'slotMs'> {
  return {
    jobIds: jobs.map(({ job }) => job.id!),
    bytesBilled: sum(jobs.map(({ statistics }) => statistics.query?.totalBytesBilled)),
    slotMs: sum(jobs.map(({ statistics }) => statistics.totalSlotMs)),
  };
}

/** What the warehouse says, as a failure of the step; anything else as it is. */
export function classified(error: unknown): unknown {
  if (error instanceof StepError || (error as Error).name === 'AbortError') return error;
  if (isTransientWarehouseError(error)) return new StepError('transient', warehouseMessage(error));
  if (isBytesLimit(error)) return new StepError('limit', warehouseMessage(error));
  return isWarehouseError(error) ? new StepError('sql_error', warehouseMessage(error)) : error;
}

/** The same for every attempt at one activity, another for the next one: a decided retry runs its query again. */
export function activityHash(length?: number): string {
  const { workflowExecution, activityId } = Context.current().info;
  return shortHash(`${workflowExecution?.runId}/${activityId}`, length);
}

/**
 * Starts the job under its id, or finds it there: a lost attempt's job is waited for, not run twice. The number at the
 * id's end advances only past jobs that ended with an error that another try may not have.
 */
async function startOrFind(
  context: StepContext,
  bigquery: BigQuery,
  { name, query, location, dataset, maxBytesBilled, params }: StepQuery,
): Promise<{ job: Job; reused: boolean }> {
  const base = `${jobIdBase(context)}${name === '' ? '' : `-${name}`}`;
  const place = location === null ? {} : { location };
  const bounds = [maxBytesBilled, context.maxBytesBilled].filter((bound) => bound !== null);
  for (let number = 0; ; number++) {
    const jobId = `${base}-${number}`;
    try {
      const options: Query = {
        query,
        jobId,
        ...place,
        ...(dataset !== null && { defaultDataset: { datasetId: dataset } }),
        ...(bounds.length > 0 && { maximumBytesBilled: `${Math.min(...bounds)}` }),
        params: { ...partitionParams(context.request.partition), ...params },
        labels: context.labels,
        jobTimeoutMs: context.request.timeoutMs,
      };
      const [job] = await bigquery.createQueryJob(options);
      return { job, reused: false };
    } catch (error) {
      if (statusOf(error) !== 409) throw error;
      const job = bigquery.job(jobId, place);
      if (!(await hasFailedForNow(job, error))) return { job, reused: true };
    }
  }
}

/**
 * Whether a job ended with an error that another one may not have. One that was stopped was so by an attempt that lost
 * its worker: a step that someone cancelled is not tried again.
 * @throws the conflict itself when it is about no job: a statement can find a table already there.
 */
async function hasFailedForNow(job: Job, conflict: unknown): Promise<boolean> {
  const [{ status }] = await job.getMetadata().catch((error: unknown) => {
    throw statusOf(error) === 404 ? conflict : error;
  });
  const { errorResult } = status;
  return errorResult !== undefined && (errorResult.reason === 'stopped' || isTransientWarehouseError(errorResult));
}

function jobIdBase({ request }: StepContext): string {
  const readable = request.key.replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 200);
  return `dayfill-${readable}-${activityHash()}`;
}

/** Waits for the job; a cancelled or timed-out step cancels it first. */
async function finished({ signal }: StepContext, job: Job): Promise<JobStatistics> {
  for (;;) {
    const [{ status, statistics }] = await job.getMetadata();
    if (status.state === 'DONE') {
      if (status.errorResult !== undefined) throw status.errorResult;
      return statistics ?? {};
    }
    if (signal.aborted) {
      await job.cancel();
      throw signal.reason;
    }
    await setTimeout(POLL_MS, undefined, { signal }).catch(() => {});
  }
}

/** Null when the warehouse told none of them. */
function sum(numbers: (string | undefined)[]): number | null {
  const told = numbers.filter((number) => number !== undefined);
  return told.length === 0 ? null : told.reduce((total, number) => total + Number(number), 0);
}
