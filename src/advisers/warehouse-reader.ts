import type { BigQuery, Query } from '@google-cloud/bigquery';
import type { FailingTest, FixRules } from '../contracts/fix.js';
import type { PartitionBounds } from '../contracts/step.js';
import { maskPersonal } from '../runners/mask.js';
import { isTransientWarehouseError, statusOf } from '../warehouse/errors.js';
import { insidePartition } from '../warehouse/fixes/row-sql.js';
import { partitionParams } from '../warehouse/partition-params.js';
import { type MaskedRow, maskedRows } from './masked-rows.js';
import { type TableInfo, tableInfo } from './table-info.js';

export const SAMPLE_ROWS = 10;
/** Where the pipeline sets no `max_bytes_billed`. */
const MAX_BYTES_BILLED = 1024 ** 3;
const TIMEOUT_MS = 60_000;

/**
 * What advisers may read: columns, counts and a few masked rows of the datasets that a fix may touch. What the warehouse
 * refuses is null; what may pass is thrown.
 */
export class WarehouseReader {
  private readonly tables = new Map<string, Promise<TableInfo | null>>();

  constructor(
    private readonly bigquery: BigQuery,
    private readonly rules: FixRules,
    private readonly partition: PartitionBounds,
  ) {}

  /** @param name `project.dataset.table` or `dataset.table`; null for one that is not there or not allowed. */
  table(name: string): Promise<TableInfo | null> {
    const parts = name.replaceAll('`', '').split('.');
    const full = parts.length === 2 ? [this.rules.project, ...parts] : parts;
    const [project, dataset, table] = full;
    if (full.length !== 3 || project !== this.rules.project || !this.rules.datasets.includes(dataset!)) {
      return Promise.resolve(null);
    }
    const key = full.join('.');
    const known = this.tables.get(key) ?? this.describe(key, dataset!, table!);
    this.tables.set(key, known);
    return known;
  }

  /** At most ten rows that a test selects; null when it cannot be run. */
  async failingRows({ sql, column }: FailingTest): Promise<MaskedRow[] | null> {
    const rows = await this.query(`select * from (\n${sql}\n) as failing limit ${SAMPLE_ROWS}`);
    const meant = column ?? '';
    return rows && maskedRows(rows, maskPersonal, { unique_field: meant, value_field: meant, from_field: meant });
  }

  /** At most ten of the partition's rows; null for a table without a day. */
  async sample({ table, day }: TableInfo): Promise<MaskedRow[] | null> {
    if (day === null) return null;
    const where = insidePartition(day);
    const rows = await this.query(
      `select * from \`${table}\` where ${where} limit ${SAMPLE_ROWS}`,
      partitionParams(this.partition),
    );
    return rows && maskedRows(rows, maskPersonal);
  }

  /** The number that a query selects as `n`; null when it cannot be run. */
  async count(sql: string): Promise<number | null> {
    const rows = await this.query(sql, partitionParams(this.partition));
    return rows === null ? null : Number(rows[0]!.n);
  }

  private describe(key: string, dataset: string, table: string): Promise<TableInfo | null> {
    return unlessRefused(async () => {
      const [metadata] = await this.bigquery.dataset(dataset).table(table).getMetadata();
      return tableInfo(key, metadata, this.rules);
    });
  }

  private query(sql: string, params?: Query['params']): Promise<Record<string, unknown>[] | null> {
    const { location, dataset, maxBytesBilled } = this.rules;
    return unlessRefused(async () => {
      const [rows] = await this.bigquery.query({
        query: sql,
        maximumBytesBilled: `${maxBytesBilled ?? MAX_BYTES_BILLED}`,
        jobTimeoutMs: TIMEOUT_MS,
        ...(params !== undefined && { params }),
        ...(location !== null && { location }),
        ...(dataset !== null && { defaultDataset: { datasetId: dataset } }),
      });
      return rows;
    });
  }
}

async function unlessRefused<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    const refused = statusOf(error) !== undefined || (error as { errors?: unknown }).errors !== undefined;
    if (refused && !isTransientWarehouseError(error)) return null;
    throw error;
  }
}
