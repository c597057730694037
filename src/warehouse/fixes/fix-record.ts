import type { BigQuery } from '@google-cloud/bigquery';
import { ignoringConflict, statusOf } from '../errors.js';
import type { Column } from '../ledger-schema.js';
import type { TableFacts } from './apply.js';
import type { FixedTable } from './backup.js';

const TABLE = 'fixes';

/** A table that a fix changed, as it was left. */
export type RecordedTable = Omit<FixedTable, 'counted'> & TableFacts;

/** What is kept of a fix that was applied, or that was undone, to be able to undo it. */
export interface FixRecord {
  fixId: string;
  status: 'applied' | 'undone';
  /** The variant name. */
  pipeline: string;
  partition: string;
  partitionStart: string;
  partitionEnd: string;
  step: string;
  /** Where its jobs run. */
  project: string;
  location: string;
  sha256: string;
  sql: string;
  tables: RecordedTable[];
  /** ISO time. */
  recordedAt: string;
}

/** The record of fixes beside the ledger. Append-only; a fix written twice counts once. */
export interface FixRecords {
  append(record: FixRecord): Promise<void>;
  /** Fixes of a partition that are applied and not undone, oldest first. */
  applied(pipeline: string, partition: string): Promise<FixRecord[]>;
}

const tableColumns: Column[] = [
  { name: 'table_name', type: 'STRING', description: 'project.dataset.table' },
  {
    name: 'backup',
    type: 'STRING',
    description: 'Table with the rows before the fix, or those that it added or removed',
  },
  {
    name: 'day_column',
    type: 'STRING',
    description: "Column with a row's day; null: the backup has added and removed rows",
  },
  { name: 'day_type', type: 'STRING', description: 'DATE, DATETIME or TIMESTAMP' },
  { name: 'rows_changed', type: 'INTEGER', description: 'Rows that were changed, added or removed' },
  { name: 'row_count', type: 'INTEGER', description: 'Rows of the partition after the fix' },
  { name: 'checksum', type: 'STRING', description: 'Of those rows, whatever their order' },
];

const COLUMNS: Column[] = [
  { name: 'fix_id', type: 'STRING', mode: 'REQUIRED', description: 'Names the fix; with status the key of a row' },
  { name: 'status', type: 'STRING', mode: 'REQUIRED', description: 'applied or undone' },
  { name: 'pipeline', type: 'STRING', mode: 'REQUIRED', description: 'As in the ledger' },
  { name: 'partition', type: 'STRING', mode: 'REQUIRED', description: 'Partition key' },
  { name: 'partition_start', type: 'DATE', mode: 'REQUIRED', description: 'First day of the partition' },
  { name: 'partition_end', type: 'DATE', mode: 'REQUIRED', description: 'Last day of the partition, inclusive' },
  {
    name: 'step',
    type: 'STRING',
    mode: 'REQUIRED',
    description: 'Work that ran it: <step>.fix.<n> or <step>.<remedy>.<n>',
  },
  { name: 'project', type: 'STRING', mode: 'REQUIRED', description: 'Project of its jobs and backups' },
  { name: 'location', type: 'STRING', mode: 'REQUIRED', description: 'Their location' },
  { name: 'sha256', type: 'STRING', mode: 'REQUIRED', description: 'Of the SQL as UTF-8, in hex' },
  { name: 'sql', type: 'STRING', mode: 'REQUIRED', description: 'The SQL as it was written' },
  { name: 'tables', type: 'RECORD', mode: 'REPEATED', description: 'What it changed', fields: tableColumns },
  { name: 'recorded_at', type: 'TIMESTAMP', mode: 'REQUIRED', description: 'When this row was made' },
];

/** The records in the ledger's dataset, made when first written to. */
export function openFixRecords(bigquery: BigQuery, dataset: string, location: string): FixRecords {
  async function make(): Promise<void> {
    await ignoringConflict(bigquery.createDataset(dataset, { location }));
    const clustering = { fields: ['pipeline', 'partition'] };
    await ignoringConflict(bigquery.dataset(dataset).createTable(TABLE, { schema: { fields: COLUMNS }, clustering }));
  }

  return {
    async append(record) {
      await make();
      const row = { insertId: `${record.fixId}/${record.status}`, json: toRow(record) };
      await bigquery.dataset(dataset).table(TABLE).insert([row], { raw: true });
    },
    async applied(pipeline, partition) {
      const query = `
        select to_json_string(f) as row_json
        from \`${bigquery.projectId}.${dataset}.${TABLE}\` as f
        where pipeline = @pipeline and partition = @partition
        order by recorded_at, fix_id`;
      const [rows] = await bigquery.query({ query, params: { pipeline, partition }, location }).catch((error) => {
        if (statusOf(error) === 404) return [[]];
        throw error;
      });
      const records = rows.map(({ row_json: json }: { row_json: string }) => fromRow(JSON.parse(json) as StoredFix));
      const undone = new Set(records.filter(({ status }) => status === 'undone').map(({ fixId }) => fixId));
      const applied = new Map(records.map((record) => [record.fixId, record]));
      return [...applied.values()].filter(({ fixId }) => !undone.has(fixId));
    },
  };
}

interface StoredTable {
  table_name: string;
  backup: string;
  day_column: string | null;
  day_type: string | null;
  rows_changed: number;
  row_count: number | null;
  checksum: string | null;
}

interface StoredFix {
  fix_id: string;
  status: FixRecord['status'];
  pipeline: string;
  partition: string;
  partition_start: string;
  partition_end: string;
  step: string;
  project: string;
  location: string;
  sha256: string;
  sql: string;
  tables: StoredTable[];
  recorded_at: string;
}

function toRow(record: FixRecord): StoredFix {
  const { fixId, partitionStart, partitionEnd, recordedAt, tables, ...same } = record;
  return {
    ...same,
    fix_id: fixId,
    partition_start: partitionStart,
    partition_end: partitionEnd,
    recorded_at: recordedAt,
    tables: tables.map(({ table, backup, day, rowsChanged, rowCount, checksum }) => ({
      table_name: table,
      backup,
      day_column: day?.name ?? null,
      day_type: day?.type ?? null,
      rows_changed: rowsChanged,
      row_count: rowCount,
      checksum,
    })),
  };
}

function fromRow(row: StoredFix): FixRecord {
  const { fix_id, partition_start, partition_end, recorded_at, tables, ...same } = row;
  return {
    ...same,
    fixId: fix_id,
    partitionStart: partition_start,
    partitionEnd: partition_end,
    recordedAt: recorded_at,
    tables: tables.map(({ table_name: table, backup, day_column, day_type, rows_changed, row_count, checksum }) => ({
      table,
      backup,
      day: day_column === null || day_type === null ? null : { name: day_column, type: day_type },
      rowsChanged: rows_changed,
      rowCount: row_count,
      checksum,
    })),
  };
}
