import type { BigQuery } from '@google-cloud/bigquery';
import type { LedgerRow } from '../contracts/ledger.js';
import type { StepOutcome } from '../contracts/partition.js';
import type { Json } from '../contracts/step.js';
import { ignoringConflict, statusOf } from './errors.js';
import { type Column, LEDGER_COLUMNS, withMissing } from './ledger-schema.js';

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
 * The ledger in a dataset. Dataset, table and view are made when first written to, and a table that an older version made
 * gets the columns that it lacks; reading a ledger that is not there yet gives no rows.
 */
export function openLedger(bigquery: BigQuery, dataset: string, location: string): Ledger {
  let made: Promise<void> | null = null;

  async function make(): Promise<void> {
    await ignoringConflict(bigquery.createDataset(dataset, { location }));
    const table = { schema: { fields: LEDGER_COLUMNS }, clustering: { fields: ['pipeline', 'partition'] } };
    const isNew = await ignoringConflict(bigquery.dataset(dataset).createTable(TABLE, table));
    const grown = !isNew && (await addMissingColumns());
    const view = { query: latestQuery(`${bigquery.projectId}.${dataset}.${TABLE}`), useLegacySql: false };
    const isNewView = await ignoringConflict(bigquery.dataset(dataset).createTable(LATEST, { view }));
    // BigQuery keeps the columns that a view had when it was made and shows them until it is made again.
    if (grown && !isNewView) await bigquery.dataset(dataset).table(LATEST).setMetadata({ view });
  }

  /** Whether there were any. Of two that do this at once the second changes nothing. */
  async function addMissingColumns(): Promise<boolean> {
    const table = bigquery.dataset(dataset).table(TABLE);
    const [{ schema }] = await table.getMetadata();
    const fields = withMissing(schema.fields as Column[], LEDGER_COLUMNS);
    if (fields === null) return false;
    await table.setMetadata({ schema: { fields } });
    return true;
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
        try {
          await bigquery.dataset(dataset).table(TABLE).insert(some, { raw: true });
        } catch (error) {
          if (!refusals(error).some((message) => /no such field/i.test(message))) throw error;
          made = null;
          throw new Error(
            'BigQuery does not take rows for the new columns of the ledger yet: try again in some minutes.',
            {
              cause: error,
            },
          );
        }
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

/** Why streamed rows were not taken, as the client has it. */
function refusals(error: unknown): string[] {
  const rows = (error as { errors?: { errors?: { message?: string }[] }[] }).errors ?? [];
  return rows.flatMap(({ errors = [] }) => errors.map(({ message = '' }) => message));
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

function fromColumns(stored: Record<string, unknown>): LedgerRow {
  const row = renamedKeys(completed(stored, LEDGER_COLUMNS), (name) =>
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

/** A row of a table that lacks newer columns: null, or no values, in their place. */
function completed(record: Record<string, unknown>, columns: Column[]): Record<string, unknown> {
  const whole = { ...record };
  for (const { name, mode, fields } of columns) {
    const value = record[name] ?? (mode === 'REPEATED' ? [] : null);
    whole[name] = fields === undefined || value === null ? value : nested(value, fields);
  }
  return whole;
}

function nested(value: unknown, fields: Column[]): unknown {
  return Array.isArray(value)
    ? value.map((item) => nested(item, fields))
    : completed(value as Record<string, unknown>, fields);
}

/** Renames keys all the way down; BigQuery's date and time objects become their ISO text. */
function renamedKeys(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamedKeys(item, rename));
  if (value === null || typeof value !== 'object') return value;
  if (value.constructor.name.startsWith('BigQuery')) return (value as { value: string }).value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [rename(name), renamedKeys(item, rename)]));
}
