import type { TableMetadata } from '@google-cloud/bigquery';
import type { FixRules } from '../contracts/fix.js';
import type { TableColumn } from '../warehouse/fixes/guard.js';

/** A table as SQL can name its parts. */
export interface TableInfo {
  /** `project.dataset.table`. */
  table: string;
  /** As the SQL of a fix names it: without the project where that is the fix's own. */
  name: string;
  /** Whether its rows can be changed: no view. */
  changeable: boolean;
  /** Types as in DDL: `STRUCT<a INT64>`. */
  columns: TableColumn[];
  /** Column with the day of a row; null when none is known to be that. */
  day: TableColumn | null;
  /** What a table with the same partitions says after PARTITION BY; null without a day. */
  partitionBy: string | null;
}

type Field = NonNullable<NonNullable<TableMetadata['schema']>['fields']>[number] & {
  rangeElementType?: { type?: string };
};

const DAY_TYPES = ['DATE', 'DATETIME', 'TIMESTAMP'];
const DDL_TYPES: Record<string, string> = { INTEGER: 'INT64', FLOAT: 'FLOAT64', BOOLEAN: 'BOOL', RECORD: 'STRUCT' };

/** What BigQuery's metadata says of a table. @param table `project.dataset.table`. */
export function tableInfo(table: string, metadata: TableMetadata, rules: FixRules): TableInfo {
  const [project, ...rest] = table.split('.');
  const short = rest.join('.');
  const fields: Field[] = metadata.schema?.fields ?? [];
  const columns = fields.map((field) => ({ name: field.name!, type: typeOf(field) }));
  const day = dayColumn(columns, metadata, rules.dayColumns[short]);
  return {
    table,
    name: project === rules.project ? short : table,
    changeable: metadata.type === undefined || metadata.type === 'TABLE',
    columns,
    day,
    partitionBy: day === null ? null : partitioning(day, metadata),
  };
}

/** A column by its name, whose case does not matter. */
export function columnOf({ columns }: TableInfo, name: string | null): TableColumn | undefined {
  return columns.find((column) => column.name.toLowerCase() === name?.toLowerCase());
}

function typeOf({ type = 'STRING', mode, fields = [], rangeElementType }: Field): string {
  const name = DDL_TYPES[type] ?? type;
  const inner = fields.map((field) => `\`${field.name}\` ${typeOf(field as Field)}`).join(', ');
  const one =
    name === 'STRUCT' ? `STRUCT<${inner}>` : name === 'RANGE' ? `RANGE<${rangeElementType?.type ?? 'DATE'}>` : name;
  return mode === 'REPEATED' ? `ARRAY<${one}>` : one;
}

function dayColumn(columns: TableColumn[], metadata: TableMetadata, told: string | undefined): TableColumn | null {
  const dates = columns.filter(({ type }) => type === 'DATE');
  const { timePartitioning } = metadata;
  // Partitioned by the time of loading, its rows have their day in no column of their own.
  if (told === undefined && timePartitioning !== undefined && timePartitioning.field === undefined) return null;
  const name = told ?? timePartitioning?.field ?? (dates.length === 1 ? dates[0]!.name : undefined);
  const found = columns.find((column) => column.name.toLowerCase() === name?.toLowerCase());
  return found !== undefined && DAY_TYPES.includes(found.type) ? found : null;
}

function partitioning({ name, type }: TableColumn, { timePartitioning }: TableMetadata): string {
  const unit = timePartitioning?.field === name ? (timePartitioning.type ?? 'DAY') : 'DAY';
  return type === 'DATE' && unit === 'DAY' ? `\`${name}\`` : `${type.toLowerCase()}_trunc(\`${name}\`, ${unit})`;
}
