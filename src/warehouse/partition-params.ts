import { BigQuery, type BigQueryDate } from '@google-cloud/bigquery';
import type { PartitionBounds } from '../contracts/step.js';

/** The partition as parameters of a query: its first day twice, and its last. */
export function partitionParams({ start, end }: Pick<PartitionBounds, 'start' | 'end'>): Record<string, BigQueryDate> {
  return {
    partition: BigQuery.date(start),
    partition_start: BigQuery.date(start),
    partition_end: BigQuery.date(end),
  };
}
