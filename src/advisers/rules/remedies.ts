import type { FailingTest, RemedyClass } from '../../contracts/fix.js';
import { insidePartition } from '../../warehouse/fixes/row-sql.js';
import { columnOf, type TableInfo } from '../table-info.js';
import { acceptedList, literal } from './literals.js';

/** A table whose rows a fix takes out, which must have a day. */
export type Target = TableInfo & { day: NonNullable<TableInfo['day']> };

/** What a fix does about one failing test. All conditions end in a line of their own: a test's `where` may be any text. */
export interface TestRemedy {
  kind: RemedyClass;
  /** Which rows it takes out: `where order_id is null`. */
  what: string;
  /** SQL that counts, as `n`, the rows that it takes out. */
  count: string;
  /** Changes, in order; each ends without a semicolon. */
  statements: string[];
}

type Parts = { target: Target; test: FailingTest; column: string; type: string; inside: string };

/** The remedy for a test, by its kind; null when there is none for it. @param where further condition of the test. */
export function remedyFor(target: Target, test: FailingTest, where: string | null): TestRemedy | null {
  const column = columnOf(target, test.column);
  if (column === undefined) return null;
  const more = where === null ? '' : `\n    and (${where}\n    )`;
  const parts = {
    target,
    test,
    column: `\`${column.name}\``,
    type: column.type,
    inside: insidePartition(target.day) + more,
  };
  switch (test.kind) {
    case 'unique':
      return keepLatest(parts);
    case 'not_null':
      return quarantine(parts, 'not_null', `${parts.column} is null`, `${column.name} is null`);
    case 'accepted_values':
      return acceptedValues(parts);
    case 'relationships':
      return relationships(parts);
    default:
      return null;
  }
}

/** Creates the table that rows of the target are moved to. */
export function createQuarantine(target: Target): string {
  const columns = [
    ...target.columns.map(({ name, type }) => `\`${name}\` ${type}`),
    'quarantined_reason STRING',
    'quarantined_at TIMESTAMP',
  ];
  return `create table if not exists ${quarantineOf(target)} (
  ${columns.join(',\n  ')}
)
partition by ${target.partitionBy}`;
}

/** Columns that say when a row changed, the most telling first. */
const CHANGED = `updated_at _updated_at last_updated_at modified_at last_modified_at changed_at update_time modified
  updated_on loaded_at _loaded_at ingested_at inserted_at created_at`.split(/\s+/);

/** Names of the columns by which the latest row is told. */
export function changeColumns(target: TableInfo): string[] {
  return CHANGED.flatMap((name) => columnOf(target, name) ?? [])
    .filter(({ type }) => type === 'TIMESTAMP' || type === 'DATETIME')
    .map(({ name }) => name);
}

/**
 * Rows may be equal in everything, so that nothing tells the one to keep from the others: all of a key move, and the one
 * is put back.
 */
function keepLatest({ target, column, inside }: Parts): TestRemedy {
  const name = column.replaceAll('`', '');
  const columns = columnList(target);
  const table = quoted(target.name);
  const aside = quarantineOf(target);
  const kept = literal(`kept: ${name} is not unique`);
  const latestFirst = [...changeColumns(target).map((changed) => `\`${changed}\` desc`), 'to_json_string(t) desc'];
  const keptAside = `${insidePartition(target.day)}
  and quarantined_reason = ${kept}`;
  return {
    kind: 'unique',
    what: `whose ${name} a later row has too`,
    count: `select count(${column}) - count(distinct ${column}) as n from ${table}
where ${inside}`,
    statements: [
      `insert into ${aside} (${columns}, quarantined_reason, quarantined_at)
select ${columns}, if(dayfill_place = 1, ${kept}, ${literal(`${name} is not unique: a later row was kept`)}), current_timestamp()
from (
  select
    *,
    row_number() over (partition by ${column} order by ${latestFirst.join(', ')}) as dayfill_place,
    count(*) over (partition by ${column}) as dayfill_copies
  from ${table} as t
  where ${inside}
    and ${column} is not null
) as ranked
where dayfill_copies > 1`,
      `delete from ${table}
where ${inside}
    and ${column} in (
    select ${column} from ${aside}
    where ${keptAside}
  )`,
      `insert into ${table} (${columns})
select ${columns} from ${aside}
where ${keptAside}`,
      `delete from ${aside}
where ${keptAside}`,
    ],
  };
}

function acceptedValues(parts: Parts): TestRemedy | null {
  const { values, quote } = parts.test.arguments;
  const list = acceptedList(values, quote !== false);
  if (list === null) return null;
  const name = parts.column.replaceAll('`', '');
  return quarantine(
    parts,
    'accepted_values',
    `${parts.column} not in (${list})`,
    `${name} is none of the accepted values`,
  );
}

function relationships(parts: Parts): TestRemedy | null {
  const { to, field } = parts.test.arguments;
  if (typeof to !== 'string' || typeof field !== 'string' || !/^`?\w+`?$/.test(field)) return null;
  const name = parts.column.replaceAll('`', '');
  const parent = `\`${field.replaceAll('`', '')}\``;
  // Named, because within the subquery a bare column is the parent's where it has one of that name.
  const condition = `${parts.column} is not null
    and ${parts.column} not in (select parent.${parent} from ${quoted(to)} as parent where parent.${parent} is not null)`;
  return quarantine(parts, 'relationships', condition, `${name} is not in ${to}.${field.replaceAll('`', '')}`);
}

function quarantine({ target, inside }: Parts, kind: RemedyClass, offending: string, reason: string): TestRemedy {
  const columns = columnList(target);
  const where = `where ${inside}
    and ${offending}`;
  return {
    kind,
    what: `where ${reason}`,
    count: `select count(*) as n from ${quoted(target.name)}
${where}`,
    statements: [
      `insert into ${quarantineOf(target)} (${columns}, quarantined_reason, quarantined_at)
select ${columns}, ${literal(reason)}, current_timestamp()
from ${quoted(target.name)}
${where}`,
      `delete from ${quoted(target.name)}
${where}`,
    ],
  };
}

function columnList({ columns }: TableInfo): string {
  return columns.map(({ name }) => `\`${name}\``).join(', ');
}

function quarantineOf({ name }: TableInfo): string {
  return quoted(`${name}_quarantine`);
}

function quoted(table: string): string {
  return `\`${table}\``;
}
