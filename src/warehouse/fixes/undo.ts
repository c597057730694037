import type { BigQuery, Job } from '@google-cloud/bigquery';
import { statusOf, warehouseMessage } from '../errors.js';
import { partitionParams } from '../partition-params.js';
import { raisedReason, raiseIf } from './checks.js';
import type { FixRecord, RecordedTable } from './fix-record.js';
import { checksum, insidePartition, literal, rowsOf, shortName } from './row-sql.js';

/** Why a fix cannot be undone, in one sentence that says what to do. */
export class UndoRefused extends Error {
  override name = 'UndoRefused';
}

const LOSES = 'undo with --force to lose those changes.';

/**
 * Puts back what a fix changed, in one transaction; once, however often it is asked.
 * @param force also when rows have changed since the fix.
 * @throws UndoRefused
 */
export async function undoFix(bigquery: BigQuery, record: FixRecord, force: boolean): Promise<void> {
  const columns = await Promise.all(record.tables.map(({ backup }) => backupColumns(bigquery, backup)));
  try {
    const job = await startOrFind(bigquery, record, undoScript(record.tables, columns, force));
    await job?.promise();
  } catch (error) {
    const reason = raisedReason(warehouseMessage(error), LOSES);
    throw reason === null ? error : new UndoRefused(reason);
  }
}

/** Null when an undo before did it, and was lost before it could say so. */
async function startOrFind(bigquery: BigQuery, record: FixRecord, query: string): Promise<Job | null> {
  const { fixId, location, partitionStart: start, partitionEnd: end } = record;
  for (let number = 0; ; number++) {
    const jobId = `dayfill-undo-${fixId}-${number}`;
    try {
      return (await bigquery.createQueryJob({ query, params: partitionParams({ start, end }), jobId, location }))[0];
    } catch (error) {
      if (statusOf(error) !== 409) throw error;
      const job = bigquery.job(jobId, { location });
      const [{ status }] = await job.getMetadata();
      if (status.errorResult === undefined) return status.state === 'DONE' ? null : job;
    }
  }
}

/** @throws UndoRefused when the backup is gone. */
async function backupColumns(bigquery: BigQuery, backup: string): Promise<string[]> {
  const [, dataset, table] = backup.split('.');
  try {
    const [{ schema }] = await bigquery.dataset(dataset!).table(table!).getMetadata();
    const names: string[] = schema.fields.map(({ name }: { name: string }) => name);
    return names.filter((name) => !name.startsWith('dayfill_')).map((name) => `\`${name}\``);
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
    throw new UndoRefused(`The backup ${backup} is gone: backups are kept for 30 days.`);
  }
}

function undoScript(tables: RecordedTable[], columns: string[][], force: boolean): string {
  const each = (lines: (table: RecordedTable, index: number) => string[]) => tables.flatMap(lines);
  return [
    'begin transaction;',
    ...(force ? [] : each((table) => [raiseIf(hasChanged(table), literal(changedSince(table)))])),
    ...each((table, index) =>
      table.day === null
        ? takeBack(table, columns[index]!.join(', '), index)
        : [
            `delete from \`${table.table}\` where ${insidePartition(table.day)};`,
            `insert into \`${table.table}\` (${columns[index]!.join(', ')})`,
            `select ${columns[index]!.join(', ')} from \`${table.backup}\`;`,
          ],
    ),
    'commit transaction;',
  ].join('\n');
}

const ADDED = `where dayfill_change = 'added'`;

/** Condition that the rows are no longer as the fix left them. */
function hasChanged({ table, backup, day, rowCount, checksum: sum }: RecordedTable): string {
  const rows = rowsOf(table, day);
  if (day !== null) return `(select count(*) from ${rows}) != ${rowCount} or ${checksum(rows)} != ${literal(sum!)}`;
  return `exists (
  select 1
  from (select dayfill_line as line, count(*) as n from \`${backup}\` ${ADDED} group by dayfill_line) as a
  left join (select to_json_string(t) as line, count(*) as n from ${rows} as t group by 1) as t on t.line = a.line
  where ifnull(t.n, 0) < a.n
)`;
}

function changedSince({ table, day }: RecordedTable): string {
  const what =
    day === null ? `Rows that the fix put into ${shortName(table)}` : `Rows of this partition in ${shortName(table)}`;
  return `${what} have changed since the fix, so that nothing was undone: look at them, or ${LOSES}`;
}

/** Takes away the added rows, of equal ones as many as were added, and puts back the removed ones. */
function takeBack({ table, backup }: RecordedTable, columns: string, index: number): string[] {
  return [
    `create temp table dayfill_kept_${index} as
select r.* except (dayfill_line, dayfill_place)
from (
  select t.*, to_json_string(t) as dayfill_line, row_number() over (partition by to_json_string(t)) as dayfill_place
  from \`${table}\` as t
) as r
join (select dayfill_line as line, count(*) as n from \`${backup}\` ${ADDED} group by dayfill_line) as a
  on a.line = r.dayfill_line
where r.dayfill_place > a.n;`,
    `delete from \`${table}\` as t where to_json_string(t) in (select dayfill_line from \`${backup}\` ${ADDED});`,
    `insert into \`${table}\` (${columns}) select ${columns} from dayfill_kept_${index};`,
    `insert into \`${table}\` (${columns}) select ${columns} from \`${backup}\` where dayfill_change = 'removed';`,
  ];
}
