import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { BigQuery, type Job, type Query } from '@google-cloud/bigquery';
import { Context } from '@temporalio/activity';
import { shortHash } from '../contracts/ids.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import { isTransientWarehouseError, statusOf, warehouseMessage } from '../warehouse/errors.js';
import { type StepContext, type StepDeps, StepError, type StepOutput, stepActivity } from './step-activity.js';

const POLL_MS = 500;
/** The token of the hand-made scripts that dayfill replaces; new files use `@partition`. */
const LEGACY_DATE = /PLACEHOLDER_DATE/g;

type QueryContext = StepContext<'bigquery/query'>;

/** Runs a SQL file as one BigQuery job, with the partition bound as DATE parameters. */
export function bigQueryQuery(
  clients: BigQueryClients,
): (deps: StepDeps) => ReturnType<ReturnType<typeof stepActivity>> {
  return stepActivity('bigquery/query', (context) => runQuery(context, clients));
}

async function runQuery(context: QueryContext, clients: BigQueryClients): Promise<StepOutput> {
  const { file, project } = context.with;
  if (project === undefined) {
    throw new StepError('pipeline', `No project for ${file}: set the var project_id or the step's project.`);
  }
  const query = await rendered(context);
  context.log.write(query);
  const bigquery = clients(project);
  try {
    const { job, reused } = await startOrFind(context, bigquery, query);
    context.heartbeat({ jobId: job.id! });
    context.log.write(`# job ${job.id}${reused ? ', found as the last attempt left it' : ''}`);
    return output(job.id!, await finished(context, job));
  } catch (error) {
    throw classified(error);
  }
}

/** The file's text with the legacy token replaced; what ran is kept in the step's log as evidence. */
async function rendered({ pipelineDir, request, with: { file } }: QueryContext): Promise<string> {
  try {
    const text = await readFile(path.resolve(pipelineDir, file), 'utf8');
    return text.replace(LEGACY_DATE, request.partition.start);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new StepError(
      'missing_executable',
      `The SQL file ${file} is not there: put it back or correct the pipeline.`,
    );
  }
}

/**
 * Starts the job under an id that follows from the step, or finds it there: a lost attempt's job is waited for, not run
 * twice. The number at the id's end advances only past jobs that ended with an error that another try may not have.
 */
async function startOrFind(
  context: QueryContext,
  bigquery: BigQuery,
  query: string,
): Promise<{ job: Job; reused: boolean }> {
  const { location, dataset } = context.with;
  const { start, end } = context.request.partition;
  for (let number = 0; ; number++) {
    const jobId = `${jobIdBase(context)}-${number}`;
    try {
      const options: Query = {
        query,
        jobId,
        ...(location !== undefined && { location }),
        ...(dataset !== undefined && { defaultDataset: { datasetId: dataset } }),
        params: {
          partition: BigQuery.date(start),
          partition_start: BigQuery.date(start),
          partition_end: BigQuery.date(end),
        },
        labels: context.labels,
        jobTimeoutMs: context.request.timeoutMs,
      };
      const [job] = await bigquery.createQueryJob(options);
      return { job, reused: false };
    } catch (error) {
      if (statusOf(error) !== 409) throw error;
      const job = bigquery.job(jobId, location === undefined ? {} : { location });
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

/** The same for every attempt at one activity, another for the next one: a decided retry runs its query again. */
function jobIdBase({ request }: QueryContext): string {
  const { workflowExecution, activityId } = Context.current().info;
  const readable = request.key.replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 200);
  return `dayfill-${readable}-${shortHash(`${workflowExecution?.runId}/${activityId}`)}`;
}

interface JobStatistics {
  totalBytesBilled?: string;
  totalSlotMs?: string;
  query?: { totalBytesBilled?: string; numDmlAffectedRows?: string };
}

/** Waits for the job; a cancelled or timed-out step cancels it first. */
async function finished({ signal }: QueryContext, job: Job): Promise<JobStatistics> {
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

function output(jobId: string, { totalSlotMs, query }: JobStatistics): StepOutput {
  const rows = query?.numDmlAffectedRows;
  return {
    jobIds: [jobId],
    bytesBilled: query?.totalBytesBilled === undefined ? null : Number(query.totalBytesBilled),
    slotMs: totalSlotMs === undefined ? null : Number(totalSlotMs),
    counts: rows === undefined ? {} : { rowsAffected: Number(rows) },
  };
}

function classified(error: unknown): unknown {
  if (error instanceof StepError || (error as Error).name === 'AbortError') return error;
  const isWarehouseError = (error as { reason?: string }).reason !== undefined || statusOf(error) !== undefined;
  if (isTransientWarehouseError(error)) return new StepError('transient', warehouseMessage(error));
  return isWarehouseError ? new StepError('sql_error', warehouseMessage(error)) : error;
}
