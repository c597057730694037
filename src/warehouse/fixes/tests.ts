import type { BigQuery } from '@google-cloud/bigquery';
import { type JobOptions, jobOptions } from './job-options.js';

/** How many rows a data test selects: those that fail it. @param sql compiled SQL of the test. */
export async function failingRows(bigquery: BigQuery, sql: string, options: JobOptions): Promise<number> {
  const query = `select count(*) as failing from (\n${sql}\n) as test`;
  const [rows] = await bigquery.query({ query, ...jobOptions(options) });
  return Number(rows[0].failing);
}
