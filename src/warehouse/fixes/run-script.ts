import type { BigQuery, Query, RowMetadata } from '@google-cloud/bigquery';

/**
 * Runs a script to its end and gives the rows of its last query. One that takes longer than its `jobTimeoutMs` is
 * cancelled, also where the warehouse would let it run on.
 * @throws what ended it.
 */
export async function runScript(bigquery: BigQuery, script: Query & { jobTimeoutMs: number }): Promise<RowMetadata[]> {
  const [job] = await bigquery.createQueryJob(script);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    job.cancel().catch(() => {});
  }, script.jobTimeoutMs);
  try {
    const [rows] = await job.getQueryResults();
    // A script that failed can have no rows to give and no error to go with them: its status tells.
    const [{ status }] = await job.getMetadata();
    if (status.errorResult !== undefined) throw status.errorResult;
    return rows;
  } catch (error) {
    if (!late) throw error;
    const message = `It did not end within ${script.jobTimeoutMs / 1000} seconds, tried on copies: make it read less.`;
    throw Object.assign(new Error(message), { reason: 'timeout' });
  } finally {
    clearTimeout(timer);
  }
}
