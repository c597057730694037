import type { BigQuery } from '@google-cloud/bigquery';
import type { FixRules } from '../../contracts/fix.js';
import type { PartitionBounds } from '../../contracts/step.js';
import { ignoringConflict } from '../errors.js';
import type { FixTarget } from './checked-fix.js';
import { FixRefused, type TableColumn } from './guard.js';
import { literal, rowsOf, shortName } from './row-sql.js';

/** Dataset of the backups, in the project of the fix. */
export const BACKUPS = 'dayfill_backups';
const KEPT_DAYS = 30;
const DAY_TYPES = ['DATE', 'DATETIME', 'TIMESTAMP', 'STRING'];

/** A table that a fix changes, and what is kept to undo it. Tables are `project.dataset.table`. */
export interface FixedTable {
  table: string;
  /**
   * With a day: the partition's rows before the fix. Without: the rows that the fix added or removed, behind the columns
   * `dayfill_change` and `dayfill_line`; so it is for tables that only keep rows aside and for those without days, whose
   * rows of other partitions an undo must leave alone.
   */
  backup: string;
  day: TableColumn | null;
  /** Whether its rows count against `max_rows`: not those that are only kept aside. */
  counted: boolean;
}

/**
 * The tables that the fix changes, with names for their backups.
 * @throws FixRefused when one of them cannot be backed up.
 */
export function fixedTables(
  targets: FixTarget[],
  changed: Set<string>,
  { project }: Pick<FixRules, 'project'>,
  partition: PartitionBounds,
  fixId: string,
): FixedTable[] {
  return targets
    .filter(({ table }) => changed.has(table))
    .map(({ table, dayColumn, quarantine }) => {
      checkDayColumn(table, dayColumn);
      const [, dataset, name] = table.split('.');
      const day = quarantine ? null : dayColumn;
      const backup = `${dataset}__${name}__${partition.start.replaceAll('-', '')}__${fixId}`;
      return { table, backup: `${project}.${BACKUPS}.${backup}`, day, counted: !quarantine };
    });
}

/** @throws FixRefused for a table of which no copy of a partition's rows can be made. */
export function checkDayColumn(table: string, dayColumn: TableColumn | null): void {
  if (dayColumn === null) return;
  const { name, type } = dayColumn;
  if (name.startsWith('_')) {
    throw new FixRefused(
      `${shortName(table)} is partitioned by ingestion time, which a backup cannot keep: partition it by a column with the day.`,
    );
  }
  if (!DAY_TYPES.includes(type)) {
    throw new FixRefused(
      `The day of a row of ${shortName(table)} is in ${name}, which is ${type}: a fix needs one of ${DAY_TYPES.join(', ')}.`,
    );
  }
}

/** Makes the dataset of the backups. */
export async function makeBackupDataset(bigquery: BigQuery, location: string): Promise<void> {
  await ignoringConflict(bigquery.createDataset(BACKUPS, { location }));
}

/** Script that makes the backups, to be run before anything changes. */
export function backupScript(tables: FixedTable[], partition: PartitionBounds, fixId: string): string {
  return tables
    .map(({ table, backup, day }) => {
      const what = day === null ? 'rows that a fix added or removed' : 'rows before a fix';
      const description = `${what} of ${shortName(table)}, partition ${partition.key}, fix ${fixId}; "dayfill undo" needs it.`;
      const rows =
        day === null
          ? `select 'added' as dayfill_change, to_json_string(t) as dayfill_line, t.* from \`${table}\` as t where false`
          : `select * from ${rowsOf(table, day)}`;
      return `create or replace table \`${backup}\`
options (
  description = ${literal(`Backup: ${description}`)},
  expiration_timestamp = timestamp_add(current_timestamp(), interval ${KEPT_DAYS} day)
)
as ${rows};`;
    })
    .join('\n\n');
}

/** Where the jobs of a fix run: where its pipeline says, else where its tables are. */
export async function fixLocation(
  bigquery: BigQuery,
  { location }: Pick<FixRules, 'location'>,
  [first]: FixTarget[],
): Promise<string> {
  if (location !== null) return location;
  const [{ location: found }] = await bigquery.dataset(first!.table.split('.')[1]!).getMetadata();
  return found;
}
