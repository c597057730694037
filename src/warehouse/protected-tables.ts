import type { BigQuery } from '@google-cloud/bigquery';
import { ignoringConflict, statusOf } from './errors.js';
import type { Column } from './ledger-schema.js';

const TABLE = 'protected_tables';

/** The incremental tables that dbt steps have built, beside the ledger: what stays protected when its model changes. */
export interface ProtectedTables {
  /** `project.dataset.table`, sorted. */
  list(): Promise<string[]>;
  /** Adds those that are not there yet. */
  add(tables: string[]): Promise<void>;
}

const COLUMNS: Column[] = [
  { name: 'table_name', type: 'STRING', mode: 'REQUIRED', description: 'project.dataset.table' },
  { name: 'recorded_at', type: 'TIMESTAMP', mode: 'REQUIRED', description: 'When it was first built' },
];

/** The record in the ledger's dataset, made when first written to. */
export function openProtectedTables(bigquery: BigQuery, dataset: string, location: string): ProtectedTables {
  const table = bigquery.dataset(dataset).table(TABLE);

  async function list(): Promise<string[]> {
    // Rows rather than a query: they cost nothing, and come at once.
    const [rows] = await table.getRows().catch((error) => {
      if (statusOf(error) === 404) return [[]];
      throw error;
    });
    return [...new Set(rows.map(({ table_name: name }: { table_name: string }) => name))].sort();
  }

  return {
    list,
    async add(tables) {
      const known = new Set(await list());
      const fresh = tables.filter((name) => !known.has(name));
      if (fresh.length === 0) return;
      await ignoringConflict(bigquery.createDataset(dataset, { location }));
      await ignoringConflict(bigquery.dataset(dataset).createTable(TABLE, { schema: { fields: COLUMNS } }));
      const recordedAt = new Date().toISOString();
      const rows = fresh.map((name) => ({ insertId: name, json: { table_name: name, recorded_at: recordedAt } }));
      await table.insert(rows, { raw: true });
    },
  };
}
