import type { BigQuery } from '@google-cloud/bigquery';
import type { LedgerRow } from '../contracts/ledger.js';
import type { StepOutcome } from '../contracts/partition.js';
import type { Json } from '../contracts/step.js';
import { statusOf } from './errors.js';
import { LEDGER_COLUMNS } from './ledger-schema.js';

const TABLE = 'ledger';
const LATEST = 'latest_partitions';
/** What BigQuery recommends for streamed rows. */
const ROWS_PER_REQUEST = 500;

/** The record in the warehouse of what happened to each partition. Append-only; a row written twice counts once. */
export interface Ledger {
  append(...rows: LedgerRow[]): Promise<void>;
  /** The latest row of each partition that overlaps the days, by partition key; all of them without bounds. */
  latest(pipeline: string, from?: string, to?: string): Promise<Map<string, LedgerRow>>;
  /** Every row, oldest first within a partition. */
  rows(pipeline: string, from?: string, to?: string): Promise<LedgerRow[]>;
}

/**
 * The ledger in a dataset. Dataset, table and view are made when first written to; reading a ledger that is not there
 * yet gives no rows.
 */
export function openLedger(bigquery: BigQuery, dataset: string, location: string): Ledger {
  let made: Promise<void> | null = null;

  async function make(): Promise<void> {
    await ignoringConflict(bigquery.createDataset(dataset, { location }));
    const table = { schema: { fields: LEDGER_COLUMNS }, clustering: { fields: ['pipeline', 'partition'] } };
    await ignoringConflict(bigquery.dataset(dataset).createTable(TABLE, table));
    const view = { query: latestQuery(`${bigquery.projectId}.${dataset}.${TABLE}`), useLegacySql: false };
    await ignoringConflict(bigquery.dataset(dataset).createTable(LATEST, { view }));
  }

  async function read(from: string, pipeline: string, start?: string, end?: string): Promise<LedgerRow[]> {
    const query = `
      select * from \`${bigquery.projectId}.${dataset}.${from}\`
      where pipeline = @pipeline
        and partition_end >= coalesce(date(@start), date '0001-01-01')
        and partition_start <= coalesce(date(@end), date '9999-12-31')
      order by partition_start, recorded_at, sequence`;
    try {
      const params = { pipeline, start: start ?? '0001-01-01', end: end ?? '9999-12-31' };
      const [rows] = await bigquery.query({ query, params, location });
      return rows.map(fromColumns);
    } catch (error) {
      if (statusOf(error) === 404) return [];
      throw error;
    }
  }

  return {
    async append(...rows) {
      made ??= make();
      try {
        await made;
      } catch (error) {
        made = null;
        throw error;
      }
      const all = rows.map((row) => ({ insertId: `${row.runId}/${row.sequence}`, json: toColumns(row) }));
      for (let first = 0; first < all.length; first += ROWS_PER_REQUEST) {
        const some = all.slice(first, first + ROWS_PER_REQUEST);
        await bigquery.dataset(dataset).table(TABLE).insert(some, { raw: true });
      }
    },
    async latest(pipeline, from, to) {
      const rows = await read(LATEST, pipeline, from, to);
      return new Map(rows.map((row) => [row.partition, row]));
    },
    async rows(pipeline, from, to) {
      const rows = await read(TABLE, pipeline, from, to);
      const seen = new Map(rows.map((row) => [`${row.runId}/${row.sequence}`, row]));
      return [...seen.values()];
    },
  };
}

function latestQuery(table: string): string {
  return `select * from \`${table}\`
    qualify row_number() over (partition by pipeline, partition order by recorded_at desc, sequence desc) = 1`;
}

async function ignoringConflict(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
  }
}

/** A row as the table has it: snake_case, counts as records, state as JSON text. */
function toColumns(row: LedgerRow): unknown {
  const steps = row.steps.map((step) => ({
    ...step,
    counts: Object.entries(step.counts).map(([name, value]) => ({ name, value })),
    state: step.state === null ? null : JSON.stringify(step.state),
  }));
  return renamedKeys({ ...row, steps }, (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

interface StoredStep extends Omit<StepOutcome, 'counts' | 'state'> {
  counts: { name: string; value: number }[];
  state: string | null;
}

function fromColumns(stored: unknown): LedgerRow {
  const row = renamedKeys(stored, (name) =>
    name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
  ) as Omit<LedgerRow, 'steps'> & { steps: StoredStep[] };
  return {
    ...row,
    steps: row.steps.map((step) => ({
      ...step,
      counts: Object.fromEntries(step.counts.map(({ name, value }) => [name, value])),
      state: step.state === null ? null : (JSON.parse(step.state) as Json),
    })),
  };
}

/** Renames keys all the way down; BigQuery's date and time objects become their ISO text. */
function renamedKeys(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamedKeys(item, rename));
  if (value === null || typeof value !== 'object') return value;
  if (value.constructor.name.startsWith('BigQuery')) return (value as { value: string }).value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [rename(name), renamedKeys(item, rename)]));
}
