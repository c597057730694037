import type { TableColumn } from './guard.js';

/** The SQL that says which rows of a table are a partition's, and what has changed in them. */

/** `@partition_start` and `@partition_end` in the type of the day column; the second is exclusive but for a DATE. */
function bounds({ name, type }: TableColumn): { column: string; from: string; to: string; below: '<' | '<=' } {
  const column = `\`${name}\``;
  if (type === 'DATE') return { column, from: '@partition_start', to: '@partition_end', below: '<=' };
  const cast = (day: string) => `cast(${day} as ${type.toLowerCase()})`;
  return { column, from: cast('@partition_start'), to: cast('date_add(@partition_end, interval 1 day)'), below: '<' };
}

/** Condition for the rows of the partition. @param day column of type DATE, DATETIME, TIMESTAMP, or STRING with an ISO date. */
export function insidePartition(day: TableColumn): string {
  const { column, from, to, below } = bounds(day);
  return `${column} >= ${from} and ${column} ${below} ${to}`;
}

/** Condition for all other rows, those without a day included. */
export function outsidePartition(day: TableColumn): string {
  const { column, from, to, below } = bounds(day);
  return `${column} < ${from} or ${column} ${below === '<' ? '>=' : '>'} ${to} or ${column} is null`;
}

/** The rows of the partition as a table expression; all rows of a table that has no days. */
export function rowsOf(table: string, day: TableColumn | null): string {
  return `(select * from \`${table}\`${day === null ? '' : ` where ${insidePartition(day)}`})`;
}

/** One row per distinct row that is more (`n` > 0) or less (`n` < 0) often in one than in the other: `line`, `n`. */
export function differences(after: string, before: string): string {
  return `(select line, sum(side) as n from (
    select to_json_string(t) as line, 1 as side from ${after} as t
    union all select to_json_string(t), -1 from ${before} as t
  ) group by line having sum(side) != 0)`;
}

/** How many rows changed, from `differences`: a row with another value in it counts once. */
export function changedCount(differing: string): string {
  return `(select greatest(ifnull(sum(if(n > 0, n, 0)), 0), ifnull(sum(if(n < 0, -n, 0)), 0)) from ${differing})`;
}

/** A number of all the rows, whatever their order, as text. */
export function checksum(rows: string): string {
  return `(select cast(ifnull(sum(cast(farm_fingerprint(to_json_string(t)) as numeric)), 0) as string) from ${rows} as t)`;
}

/** A string literal. JSON's escapes are BigQuery's too. */
export function literal(text: string): string {
  return JSON.stringify(text);
}

/** `dataset.table` of `project.dataset.table`, for people. */
export function shortName(table: string): string {
  return table.split('.').slice(-2).join('.');
}
