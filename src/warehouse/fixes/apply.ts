import type { FixedTable } from './backup.js';
import { raisedReason, raiseIf } from './checks.js';
import { changedCount, checksum, differences, outsidePartition, rowsOf, shortName } from './row-sql.js';

/** What is known of a table after a fix. */
export interface TableFacts {
  /** Rows that were changed, added or removed. */
  rowsChanged: number;
  /** Rows of the partition, and a number of all of them; null for a table without a day. */
  rowCount: number | null;
  checksum: string | null;
}

/** How every rollback by the checks below ends; see `rollbackReason`. */
const ROLLED_BACK = 'was rolled back.';

/**
 * Script that makes the changes of a fix in one transaction. It rolls back when the rows are not those of the backup, when
 * rows of another day come to be, or when more than `maxRows` rows change. Its result is `facts`, for `readFacts`.
 * @param changes DML statements.
 */
export function changeScript(tables: FixedTable[], changes: string[], maxRows: number): string {
  const dayed = tables.flatMap((table, index) => (table.day === null ? [] : [{ ...table, day: table.day, index }]));
  const dayless = tables.flatMap((table, index) => (table.day === null ? [{ ...table, index }] : []));
  const outside = ({ table, day }: (typeof dayed)[number]) =>
    `(select count(*) from \`${table}\` where ${outsidePartition(day)})`;
  const counted = tables.flatMap(({ counted }, index) => (counted ? [`dayfill_changed_${index}`] : []));
  const lines = [
    'declare dayfill_facts string;',
    'declare dayfill_changed int64;',
    ...tables.map((_, index) => `declare dayfill_changed_${index} int64;`),
    ...dayed.map(({ index }) => `declare dayfill_outside_${index} int64;`),
    'begin transaction;',
    ...dayed.map(({ table, backup, day }) =>
      raiseIf(
        `exists (select 1 from ${differences(rowsOf(table, day), rowsOf(backup, null))})`,
        `'Rows of this partition in ${shortName(table)} changed while the fix was being prepared: it ${ROLLED_BACK}'`,
      ),
    ),
    ...dayed.map((table) => `set dayfill_outside_${table.index} = ${outside(table)};`),
    ...dayless.map(({ table, index }) => `create temp table dayfill_before_${index} as select * from \`${table}\`;`),
    '',
    ...changes.map((sql) => `${sql};\n`),
    ...dayed.map((table) =>
      raiseIf(
        `${outside(table)} != dayfill_outside_${table.index}`,
        `'The fix touches rows of another day in ${shortName(table.table)}: it ${ROLLED_BACK}'`,
      ),
    ),
    ...dayless.flatMap(({ table, backup, index }) => keepChanges(table, `dayfill_before_${index}`, backup)),
    ...tables.map((table, index) => `set dayfill_changed_${index} = ${rowsChanged(table)};`),
    `set dayfill_changed = ${counted.length === 0 ? '0' : counted.join(' + ')};`,
    raiseIf(
      `dayfill_changed > ${maxRows}`,
      `concat('The fix changes ', cast(dayfill_changed as string), ' rows, more than max_rows ${maxRows}: it ${ROLLED_BACK}')`,
    ),
    `set dayfill_facts = ${facts(tables, (index) => `dayfill_changed_${index}`)};`,
    'commit transaction;',
    'select dayfill_facts as facts;',
  ];
  return lines.join('\n');
}

/** The same result as the script's, some time after it. */
export function factsQuery(tables: FixedTable[]): string {
  return `select ${facts(tables, (index) => rowsChanged(tables[index]!))} as facts`;
}

/** Reads the one row that the script or `factsQuery` gives; in the order of the tables. */
export function readFacts(rows: { facts?: string }[]): TableFacts[] {
  const stored = JSON.parse(rows[0]!.facts!) as Record<'rows_changed' | 'row_count' | 'checksum', string | null>[];
  return stored.map(({ rows_changed: rowsChanged, row_count: rowCount, checksum }) => ({
    rowsChanged: Number(rowsChanged),
    rowCount: rowCount === null ? null : Number(rowCount),
    checksum,
  }));
}

/** The sentence of a check that rolled back; null for any other message of the warehouse. */
export function rollbackReason(message: string): string | null {
  return raisedReason(message, ROLLED_BACK);
}

/** Puts into the backup which rows of a table without days came and went: each as often as it is more often there on one side. */
function keepChanges(table: string, before: string, backup: string): string[] {
  const kept = (change: 'added' | 'removed', from: string, differing: string) => `insert into \`${backup}\`
select '${change}', r.* except (dayfill_place)
from (
  select to_json_string(t) as dayfill_line, t.*, row_number() over (partition by to_json_string(t)) as dayfill_place
  from ${from} as t
) as r
join ${differing} as d on d.line = r.dayfill_line
where r.dayfill_place <= d.n;`;
  const rows = rowsOf(table, null);
  const rowsBefore = `(select * from ${before})`;
  return [
    kept('added', rows, differences(rows, rowsBefore)),
    kept('removed', rowsBefore, differences(rowsBefore, rows)),
  ];
}

function rowsChanged({ table, backup, day }: FixedTable): string {
  if (day !== null) return changedCount(differences(rowsOf(table, day), rowsOf(backup, null)));
  return `(select greatest(countif(dayfill_change = 'added'), countif(dayfill_change = 'removed')) from \`${backup}\`)`;
}

/** Expression for a JSON array with an object per table. */
function facts(tables: FixedTable[], changed: (index: number) => string): string {
  const objects = tables.map(({ table, day }, index) => {
    const rows = rowsOf(table, day);
    const [count, sum] = day === null ? ['null', 'null'] : [`(select count(*) from ${rows})`, checksum(rows)];
    return `to_json_string(struct(
  ${changed(index)} as rows_changed,
  cast(${count} as int64) as row_count,
  cast(${sum} as string) as checksum
))`;
  });
  return `(select concat('[', ${objects.join(", ',', ")}, ']'))`;
}
