import type { BigQuery, Query } from '@google-cloud/bigquery';

/**
 * Bytes that a query would process, by a dry run, which costs nothing; null for a script, of which BigQuery tells nothing.
 * @throws what the warehouse says, such as that a table is not there.
 */
export async function dryRunBytes(bigquery: BigQuery, query: Query): Promise<number | null> {
  const [job] = await bigquery.createQueryJob({ ...query, dryRun: true });
  const { query: told, totalBytesProcessed } = job.metadata.statistics;
  return told?.statementType === 'SCRIPT' ? null : Number(totalBytesProcessed ?? told?.totalBytesProcessed ?? 0);
}
