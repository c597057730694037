import type { FailingTest } from '../../contracts/fix.js';
import type { PartitionBounds } from '../../contracts/step.js';
import { columnOf, type TableInfo } from '../table-info.js';

/** A condition of a test that cannot be said for every day alike. */
export class WhereNotUsable extends Error {
  override name = 'WhereNotUsable';
}

/**
 * The `where` of a test with the partition's days as parameters, so that its text is the same on every day; null when
 * there is none, or it only names the day.
 * @throws WhereNotUsable
 */
export function whereOf(test: FailingTest, table: TableInfo, partition: PartitionBounds): string | null {
  const { where } = test.arguments;
  if (where === undefined || where === null) return null;
  if (typeof where !== 'string' || where.includes('{{') || where.includes(';')) throw new WhereNotUsable();
  let text = where.trim();
  for (const [day, parameter] of parameters(partition)) {
    const date = `(?:'${day}'|"${day}")`;
    text = text
      .replace(new RegExp(`(\`?\\b\\w+\`?\\s*(?:=|<=|>=|<|>)\\s*)${date}`, 'g'), (_, left: string) => {
        return left + inTypeOf(table, left, parameter);
      })
      .replace(new RegExp(`\\b(date|timestamp|datetime)\\s*${date}`, 'gi'), (_, type: string) =>
        type.toLowerCase() === 'date' ? parameter : `${type.toLowerCase()}(${parameter})`,
      )
      .replace(new RegExp(date, 'g'), parameter);
    if (text.includes(day) || text.includes(day.replaceAll('-', ''))) throw new WhereNotUsable();
  }
  const onlyDay = new RegExp(`^\\(*\`?${table.day?.name}\`?\\s*=\\s*(?:date\\()?@partition\\)*$`, 'i');
  return onlyDay.test(text) ? null : text;
}

function parameters({ start, end }: PartitionBounds): [string, string][] {
  if (start === end) return [[start, '@partition']];
  return [
    [start, '@partition_start'],
    [end, '@partition_end'],
  ];
}

/** BigQuery reads a bare literal in the type of the column that it is compared with; a parameter has its own. */
function inTypeOf(table: TableInfo, comparison: string, parameter: string): string {
  const type = columnOf(table, /\w+/.exec(comparison)![0])?.type;
  if (type === 'TIMESTAMP' || type === 'DATETIME') return `${type.toLowerCase()}(${parameter})`;
  return type === 'STRING' ? `cast(${parameter} as string)` : parameter;
}
