import { BigQuery, BigQueryDate, BigQueryTimestamp } from '@google-cloud/bigquery';
import type { FreshnessQuery, SourceChanges } from '../contracts/freshness.js';
import { isTransientWarehouseError, isWarehouseError, warehouseMessage } from './errors.js';
import { labelValue } from './labels.js';

/** A freshness query that cannot be used; the message is one sentence. */
export class FreshnessError extends Error {
  override name = 'FreshnessError';
}

/**
 * Asks when the source of each day last changed.
 * @param range first and last day, inclusive ISO dates.
 * @throws FreshnessError when the query is wrong or gives something else; the client's own error for an outage.
 */
export async function sourceChanges(
  bigquery: BigQuery,
  query: FreshnessQuery,
  range: { start: string; end: string },
): Promise<SourceChanges> {
  const changes = new Map<string, string>();
  for (const row of await rowsOf(bigquery, query, range)) {
    const { day, changed_at: changedAt } = row;
    if (!isDay(day) || !isTime(changedAt)) {
      throw new FreshnessError(
        `The freshness query of ${query.pipeline} must give the columns day (DATE) and changed_at (TIMESTAMP), not ${described(row)}.`,
      );
    }
    // What has no day belongs to no partition; a day without a time is not known to have changed.
    if (day == null || changedAt == null) continue;
    const before = changes.get(day.value);
    if (before === undefined || Date.parse(before) < Date.parse(changedAt.value)) {
      changes.set(day.value, changedAt.value);
    }
  }
  return changes;
}

type Row = Record<string, unknown>;

async function rowsOf(
  bigquery: BigQuery,
  { pipeline, sql, location, dataset }: FreshnessQuery,
  { start, end }: { start: string; end: string },
): Promise<Row[]> {
  try {
    const [rows] = await bigquery.query({
      query: sql,
      params: { partition_start: BigQuery.date(start), partition_end: BigQuery.date(end) },
      labels: { dayfill_pipeline: labelValue(pipeline), dayfill_step: 'freshness' },
      ...(location !== null && { location }),
      ...(dataset !== null && { defaultDataset: { datasetId: dataset } }),
    });
    return rows as Row[];
  } catch (error) {
    if (isTransientWarehouseError(error) || !isWarehouseError(error)) throw error;
    throw new FreshnessError(`The freshness query of ${pipeline} failed: ${warehouseMessage(error)}`);
  }
}

function isDay(value: unknown): value is BigQueryDate | null {
  return value === null || value instanceof BigQueryDate;
}

function isTime(value: unknown): value is BigQueryTimestamp | null {
  return value === null || value instanceof BigQueryTimestamp;
}

/** `day (BigQueryDate), changed_at (string)` */
function described(row: Row): string {
  const columns = Object.entries(row).map(
    ([name, value]) => `${name} (${(value?.constructor.name ?? 'NULL').replace(/^BigQuery/, '').toUpperCase()})`,
  );
  return columns.join(', ');
}
