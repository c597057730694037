import { setTimeout } from 'node:timers/promises';
import type { BigQuery, Job } from '@google-cloud/bigquery';

const POLL_MS = 500;

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

async function runningJobs(bigquery: BigQuery, labels: Record<string, string>): Promise<Job[]> {
  const [jobs] = await bigquery.getJobs({ stateFilter: ['pending', 'running'], projection: 'full' });
  return jobs.filter((job) => carries(job.metadata?.configuration?.labels, labels));
}

function carries(actual: Record<string, string> | undefined, wanted: Record<string, string>): boolean {
  return Object.entries(wanted).every(([name, value]) => actual?.[name] === value);
}
