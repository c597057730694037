import type { Job } from '@google-cloud/bigquery';
import { renderProjects } from '../pipeline/render.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { warehouseMessage } from '../warehouse/errors.js';
import { cancelJobs, type JobStatistics, labelledJobs } from '../warehouse/jobs.js';
import { labelValue } from '../warehouse/labels.js';
import { StateError } from './errors.js';
import { inTheWay } from './open.js';
import { type PipelineFiles, plainName } from './pipelines.js';

const HOUR_MS = 3_600_000;
/** How far back jobs that have ended are looked for. */
export const RECENT_HOURS = 24;

/** A BigQuery job of a pipeline's step. */
export interface StepJob {
  id: string;
  project: string;
  location: string;
  partition: string;
  step: string;
  state: 'pending' | 'running' | 'succeeded' | 'failed' | 'cancelled';
  /** BigQuery's reason, of one that failed or was cancelled. */
  reason: string | null;
  createdAt: string;
  /** Null before, like the figures below while nobody knows them. */
  endedAt: string | null;
  bytesProcessed: number | null;
  bytesBilled: number | null;
  slotMs: number | null;
}

/** Which jobs are looked at. */
export interface JobsRequest {
  pipeline: string;
  /** All of them without one. */
  partition?: string | undefined;
  /** Whether those that have ended of late belong to it, besides those that have not. */
  all: boolean;
}

/**
 * The BigQuery jobs of a pipeline, by the labels that its steps put on them; latest first.
 * @throws PipelineError, StateError
 */
export async function pipelineJobs(files: PipelineFiles, request: JobsRequest): Promise<StepJob[]> {
  return (await findJobs(files, request)).map(stepJob);
}

/**
 * Cancels those that have not ended, and waits until they have. One that ended by itself meanwhile is told as such.
 * @throws PipelineError, StateError
 */
export async function cancelPipelineJobs(files: PipelineFiles, request: Omit<JobsRequest, 'all'>): Promise<StepJob[]> {
  const jobs = await findJobs(files, { ...request, all: false });
  await clear(files, () => cancelJobs(jobs));
  return jobs.map(stepJob);
}

async function findJobs(files: PipelineFiles, { pipeline, partition, all }: JobsRequest): Promise<Job[]> {
  const projects = renderProjects(files.pipeline(plainName(pipeline)));
  if (projects.length === 0) {
    throw new StateError(`${pipeline} has no var project_id: nobody knows in which project its jobs run.`);
  }
  const labels = {
    dayfill_pipeline: labelValue(pipeline),
    ...(partition !== undefined && { dayfill_partition: labelValue(partition) }),
  };
  const since = all ? new Date(Date.now() - RECENT_HOURS * HOUR_MS) : null;
  const clients = bigQueryClients(files.config);
  const found = await clear(files, () =>
    Promise.all(projects.map((project) => labelledJobs(clients(project), labels, { since }))),
  );
  return found.flat();
}

async function clear<T>({ config }: PipelineFiles, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw inTheWay(error, config) ?? new StateError(`BigQuery does not say: ${warehouseMessage(error)}`);
  }
}

/** A job as its resource has it. */
interface JobResource {
  jobReference: { projectId: string; jobId: string; location?: string };
  configuration: { labels: Record<string, string> };
  status: { state: 'PENDING' | 'RUNNING' | 'DONE'; errorResult?: { reason: string } };
  statistics: JobStatistics;
}

function stepJob({ metadata }: Job): StepJob {
  const { jobReference, configuration, status, statistics } = metadata as JobResource;
  const { dayfill_partition: partition = '', dayfill_step: step = '' } = configuration.labels;
  const reason = status.errorResult?.reason ?? null;
  return {
    id: jobReference.jobId,
    project: jobReference.projectId,
    location: jobReference.location ?? 'US',
    partition: partition.replace(/^(\d{4}-\d\d-\d\d)--(\d{4}-\d\d-\d\d)$/, '$1..$2'),
    step,
    state: status.state === 'DONE' ? ended(reason) : status.state === 'PENDING' ? 'pending' : 'running',
    reason,
    createdAt: time(statistics.creationTime)!,
    endedAt: time(statistics.endTime),
    bytesProcessed: number(statistics.totalBytesProcessed),
    bytesBilled: number(statistics.query?.totalBytesBilled),
    slotMs: number(statistics.totalSlotMs),
  };
}

function ended(reason: string | null): StepJob['state'] {
  if (reason === null) return 'succeeded';
  return reason === 'stopped' ? 'cancelled' : 'failed';
}

/** Milliseconds as text. */
function time(milliseconds: string | undefined): string | null {
  return milliseconds === undefined ? null : new Date(Number(milliseconds)).toISOString();
}

function number(text: string | undefined): number | null {
  return text === undefined ? null : Number(text);
}
