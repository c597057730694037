import { setTimeout } from 'node:timers/promises';
import type { BigQuery, GetJobsOptions, GetJobsResponse, Job } from '@google-cloud/bigquery';
import { addKnown } from '../contracts/amounts.js';
import type { Usage } from '../contracts/limits.js';

const POLL_MS = 500;
/** A job may come to be listed a little after it was made, and clocks differ. */
const LATE_MS = 60_000;

/**
 * Cancels the jobs that a step left running, and waits until they have ended: killing dbt or Dagster does not stop what
 * BigQuery does for them. Jobs are found by the labels that every job of a step carries.
 * @throws when the warehouse cannot be asked; the caller tries again.
 */
export async function cancelLabelledJobs(bigquery: BigQuery, labels: Record<string, string>): Promise<string[]> {
  const cancelled = new Set<string>();
  for (;;) {
    const running = await runningJobs(bigquery, labels);
    if (running.length === 0) return [...cancelled];
    for (const job of running.filter(({ id }) => !cancelled.has(id!))) {
      await job.cancel();
      cancelled.add(job.id!);
    }
    await setTimeout(POLL_MS);
  }
}

/**
 * Sums up what the jobs with some labels have taken, running ones included. Each reading asks only for what can have
 * changed since the one before.
 */
export class JobMeter {
  private readonly ended = new Map<string, JobUsage>();
  private sinceMs: number;

  /** @param since no job with the labels is older. */
  constructor(
    private readonly bigquery: BigQuery,
    private readonly labels: Record<string, string>,
    since: Date,
  ) {
    this.sinceMs = Math.max(0, since.getTime() - LATE_MS);
  }

  /** How many of them have ended. */
  get endedJobs(): number {
    return this.ended.size;
  }

  /** @throws when the warehouse cannot be asked. */
  async read(): Promise<JobUsage> {
    const jobs = await this.listed();
    const mine = jobs.filter((job) => carries(job.metadata.configuration?.labels, this.labels));
    const running = mine.filter((job) => job.metadata.state !== 'DONE');
    for (const job of mine) if (job.metadata.state === 'DONE') this.ended.set(job.id!, usageOf(job));
    const newest = Math.max(...jobs.map(createdMs));
    this.sinceMs = Math.min(...running.map(createdMs), Math.max(this.sinceMs, newest - LATE_MS));
    return total([...this.ended.values(), ...running.map(usageOf)]);
  }

  /** Many are of other steps: of each only what is needed, without its SQL, as many at a time as BigQuery gives. */
  private async listed(): Promise<Job[]> {
    const jobs: Job[] = [];
    let query: GetJobsOptions | null = {
      ...{ projection: 'full', minCreationTime: `${this.sinceMs}`, autoPaginate: false, maxResults: 1000 },
      ...USAGE_FIELDS,
    };
    while (query !== null) {
      const [page, next]: GetJobsResponse = await this.bigquery.getJobs(query);
      jobs.push(...page);
      query = next ?? null;
    }
    return jobs;
  }
}

/** See https://cloud.google.com/bigquery/docs/api-performance#partial-response: what `usageOf` looks at, and what finds a job. */
const USAGE_FIELDS = {
  fields:
    'nextPageToken,jobs(id,jobReference,state,configuration(jobType,labels),' +
    'statistics(creationTime,totalBytesProcessed,totalSlotMs,query(totalBytesBilled,totalBytesProcessed)))',
};

type JobUsage = Pick<Usage, 'bytesBilled' | 'slotMs'>;

/** The part of a job's resource that says what it took. Numbers are text. */
export interface JobStatistics {
  creationTime?: string;
  endTime?: string;
  totalBytesProcessed?: string;
  totalSlotMs?: string;
  query?: { totalBytesBilled?: string; totalBytesProcessed?: string };
}

function statisticsOf(job: Job): JobStatistics {
  return job.metadata.statistics ?? {};
}

/** What a query is billed is told at its end; until then what it has read. Loads and copies are free. */
function usageOf(job: Job): JobUsage {
  const { totalSlotMs, totalBytesProcessed, query = {} } = statisticsOf(job);
  const isQuery = job.metadata.configuration?.jobType === 'QUERY';
  const bytes = query.totalBytesBilled ?? query.totalBytesProcessed ?? totalBytesProcessed;
  return {
    bytesBilled: isQuery && bytes !== undefined ? Number(bytes) : null,
    slotMs: totalSlotMs === undefined ? null : Number(totalSlotMs),
  };
}

function total(jobs: JobUsage[]): JobUsage {
  return {
    bytesBilled: jobs.map((job) => job.bytesBilled).reduce(addKnown, null),
    slotMs: jobs.map((job) => job.slotMs).reduce(addKnown, null),
  };
}

/**
 * The jobs with some labels, latest first, whoever started them: those that are queued or running, and with `since` those
 * that were made since then.
 */
export async function labelledJobs(
  bigquery: BigQuery,
  labels: Record<string, string>,
  { since }: { since: Date | null },
): Promise<Job[]> {
  const options: GetJobsOptions = { projection: 'full', allUsers: true };
  if (since === null) options.stateFilter = ['pending', 'running'];
  else options.minCreationTime = `${since.getTime()}`;
  const [jobs] = await bigquery.getJobs(options);
  return jobs.filter((job) => carries(job.metadata.configuration?.labels, labels));
}

/** Cancels jobs and waits until they have ended, each in its own way. Their `metadata` tells how. */
export async function cancelJobs(jobs: Job[]): Promise<void> {
  await Promise.all(
    jobs.map(async (job) => {
      await job.cancel();
      while ((await job.getMetadata())[0].status.state !== 'DONE') await setTimeout(POLL_MS);
    }),
  );
}

async function runningJobs(bigquery: BigQuery, labels: Record<string, string>): Promise<Job[]> {
  const [jobs] = await bigquery.getJobs({ stateFilter: ['pending', 'running'], projection: 'full' });
  return jobs.filter((job) => carries(job.metadata.configuration?.labels, labels));
}

function createdMs(job: Job): number {
  return Number(statisticsOf(job).creationTime);
}

function carries(actual: Record<string, string> | undefined, wanted: Record<string, string>): boolean {
  return Object.entries(wanted).every(([name, value]) => actual?.[name] === value);
}
