import type { BigQuery } from '@google-cloud/bigquery';
import { ignoringConflict, statusOf } from './errors.js';
import type { Column } from './ledger-schema.js';

const TABLE = 'day_totals';

/** Figures of a day by name, as decimal text; null for NULL. No figures: the day has no rows. */
export type Figures = Record<string, string | null>;

export interface TotalsOf {
  /** The variant name. */
  pipeline: string;
  step: string;
}

/** The totals that reconciliations found, beside the ledger: what a later run tells the old figures from. */
export interface TotalsRecord {
  /** The latest of each day that another run than this one has recorded, by ISO day. */
  before(of: TotalsOf, run: string, from: string, to: string): Promise<Map<string, Figures>>;
  /** Append-only. @param run the run of the partition: what it writes twice counts once. */
  append(of: TotalsOf, run: string, totals: Map<string, Figures>): Promise<void>;
}

const COLUMNS: Column[] = [
  { name: 'pipeline', type: 'STRING', mode: 'REQUIRED', description: 'As in the ledger' },
  { name: 'step', type: 'STRING', mode: 'REQUIRED', description: 'Step id of the pipeline file' },
  { name: 'day', type: 'DATE', mode: 'REQUIRED', description: 'Day that the totals are of' },
  { name: 'figures', type: 'STRING', mode: 'REQUIRED', description: 'JSON: figures by name, as decimal text' },
  { name: 'run_id', type: 'STRING', mode: 'REQUIRED', description: 'Run of the partition that found them' },
  { name: 'recorded_at', type: 'TIMESTAMP', mode: 'REQUIRED', description: 'When this row was made' },
];

/** The record in the ledger's dataset, made when first written to. */
export function openTotalsRecord(bigquery: BigQuery, dataset: string, location: string): TotalsRecord {
  return {
    async before({ pipeline, step }, run, from, to) {
      const query = `
        select string(day) as day, figures from \`${bigquery.projectId}.${dataset}.${TABLE}\`
        where pipeline = @pipeline and step = @step and run_id != @run and day between date(@from) and date(@to)
        qualify row_number() over (partition by day order by recorded_at desc, run_id) = 1`;
      const params = { pipeline, step, run, from, to };
      const [rows] = await bigquery.query({ query, params, location }).catch((error) => {
        if (statusOf(error) === 404) return [[]];
        throw error;
      });
      return new Map(
        rows.map((row: { day: string; figures: string }) => [row.day, JSON.parse(row.figures) as Figures]),
      );
    },
    async append({ pipeline, step }, run, totals) {
      if (totals.size === 0) return;
      await ignoringConflict(bigquery.createDataset(dataset, { location }));
      const clustering = { fields: ['pipeline', 'step'] };
      await ignoringConflict(bigquery.dataset(dataset).createTable(TABLE, { schema: { fields: COLUMNS }, clustering }));
      const recordedAt = new Date().toISOString();
      const rows = [...totals].map(([day, figures]) => ({
        insertId: `${run}/${step}/${day}`,
        json: { pipeline, step, day, figures: JSON.stringify(figures), run_id: run, recorded_at: recordedAt },
      }));
      await bigquery.dataset(dataset).table(TABLE).insert(rows, { raw: true });
    },
  };
}
