import type { FixRules } from '../../contracts/fix.js';
import type { PartitionBounds } from '../../contracts/step.js';
import type { BigQueryClients } from '../bigquery.js';
import { statusOf } from '../errors.js';
import {
  type CreatedTable,
  FixRefused,
  type GuardedStatement,
  type GuardTest,
  type Scratch,
  type SqlGuard,
  type TableColumn,
} from './guard.js';

export interface CheckFixDeps {
  clients: BigQueryClients;
  guard: SqlGuard;
}

export interface CheckFixRequest {
  sql: string;
  rules: FixRules;
  partition: PartitionBounds;
  tests: GuardTest[];
  scratch: Scratch | null;
}

/** A table that a fix changes or creates. */
export interface FixTarget {
  /** `project.dataset.table`. */
  table: string;
  /** Whether it was there before the fix; the fix creates the others. */
  exists: boolean;
  /**
   * The column that holds the day of a row; null when none does, and then the fix only inserts. `_PARTITIONTIME`
   * (TIMESTAMP) for a table that is partitioned by ingestion time.
   */
  dayColumn: TableColumn | null;
  /** Whether it only keeps rows aside: the fix creates it, or its name says quarantine or backup. */
  quarantine: boolean;
  /** Top-level columns in their order; empty for a table that the fix creates from a query. */
  columns: TableColumn[];
}

/** A fix that may run, with what its running, backup and rehearsal need. */
export interface CheckedFix {
  /** The CREATE statements; they run first, outside the transaction. */
  setup: GuardedStatement[];
  /** The DML in order, for one transaction. */
  changes: GuardedStatement[];
  /** Each table that is changed or created, once. */
  targets: FixTarget[];
  /** The tests on the rehearsal's tables, one each; null for a test whose SQL could not be read. */
  tests: (string | null)[];
}

/** Where ingestion-time partitioning keeps the day. */
const INGESTION_TIME: TableColumn = { name: '_PARTITIONTIME', type: 'TIMESTAMP' };
const INGESTION_NAMES = ['_partitiontime', '_partitiondate'];
const KEEPS_ASIDE = /quarantine|backup/i;

/**
 * Checks the SQL of a fix by its parsed form and by what the warehouse knows of its tables.
 * @throws FixRefused with one sentence when it may not run; what BigQuery says when it cannot be asked.
 */
export async function checkFix({ clients, guard }: CheckFixDeps, request: CheckFixRequest): Promise<CheckedFix> {
  const { rules, sql, partition, scratch, tests } = request;
  const { project, dataset, datasets, creates } = rules;
  const fix = await guard({ sql, project, dataset, datasets, creates, partition, scratch, tests });
  const tables = [...new Set(fix.statements.map(({ table }) => table))];
  const targets = await Promise.all(tables.map((table) => targetOf(table, fix.statements, rules, clients)));
  const setup = fix.statements.filter(({ kind }) => kind === 'create');
  const changes = fix.statements.filter(({ kind }) => kind !== 'create');
  for (const change of changes) refuseOtherDays(change, targets.find(({ table }) => table === change.table)!);
  return { setup, changes, targets, tests: fix.tests };
}

async function targetOf(
  table: string,
  statements: GuardedStatement[],
  rules: FixRules,
  clients: BigQueryClients,
): Promise<FixTarget> {
  const { created, line } = statements.find((statement) => statement.table === table)!;
  const known = await metadataOf(table, clients);
  if (known === null && created === null) {
    throw new FixRefused(
      `line ${line}: ${shortName(table)} does not exist: name a table that does, or create it first.`,
    );
  }
  if (known !== null && known.type !== 'TABLE') {
    const kind = known.type.toLowerCase().replaceAll('_', ' ');
    throw new FixRefused(`line ${line}: ${shortName(table)} is a ${kind}: change the table that it is made from.`);
  }
  const shape = known ?? (await shapeOf(created!, clients));
  const bound = new Set(statements.filter((statement) => statement.table === table).flatMap(({ bound }) => bound));
  return {
    table,
    exists: known !== null,
    dayColumn: dayColumnOf(table, shape, rules, line) ?? onlyMoment(shape, bound),
    quarantine: created !== null || KEEPS_ASIDE.test(table.split('.').at(-1)!),
    columns: shape.columns.map(({ name, type }) => ({ name, type })),
  };
}

interface TableShape {
  columns: (TableColumn & { repeated: boolean })[];
  /** Null for a table that is not partitioned by time. */
  partitionColumn: TableColumn['name'] | null;
}

/** Null when there is no such table. */
async function metadataOf(table: string, clients: BigQueryClients): Promise<(TableShape & { type: string }) | null> {
  const [project = '', dataset = '', name = ''] = table.split('.');
  try {
    const [metadata] = await clients(project).dataset(dataset).table(name).getMetadata();
    const { schema, timePartitioning, type } = metadata as TableMetadata;
    const fields = schema?.fields ?? [];
    return {
      type: type ?? 'TABLE',
      columns: fields.map(({ name, type, mode }) => ({ name, type, repeated: mode === 'REPEATED' })),
      partitionColumn: timePartitioning == null ? null : (timePartitioning.field ?? INGESTION_TIME.name),
    };
  } catch (error) {
    if (statusOf(error) === 404) return null;
    throw error;
  }
}

interface TableMetadata {
  type?: string;
  schema?: { fields?: { name: string; type: string; mode?: string }[] };
  timePartitioning?: { field?: string } | null;
}

/** What a table that is not there yet will be. */
async function shapeOf(
  { like, columns, partitionColumn }: CreatedTable,
  clients: BigQueryClients,
): Promise<TableShape> {
  const model = like === null ? null : await metadataOf(like, clients);
  if (model !== null) return { ...model, partitionColumn: partitionColumn ?? model.partitionColumn };
  return {
    columns: columns.map((column) => ({ ...column, repeated: column.type.startsWith('ARRAY') })),
    partitionColumn,
  };
}

function dayColumnOf(table: string, shape: TableShape, rules: FixRules, line: number): TableColumn | null {
  const said = rules.dayColumns[shortName(table)];
  const named = said ?? shape.partitionColumn;
  if (named !== null) {
    if (INGESTION_NAMES.includes(named.toLowerCase())) return INGESTION_TIME;
    const column = shape.columns.find(({ name }) => name.toLowerCase() === named.toLowerCase());
    if (column !== undefined) return { name: column.name, type: column.type };
    // The columns of a table that is made by a query are not known before.
    if (shape.columns.length === 0) return { name: named, type: 'DATE' };
    throw new FixRefused(
      `line ${line}: fixes.day_columns says that the day of ${shortName(table)} is in ${named}, which it does not have: correct it.`,
    );
  }
  const dates = shape.columns.filter(({ type, repeated }) => type === 'DATE' && !repeated);
  return dates.length === 1 ? { name: dates[0]!.name, type: 'DATE' } : null;
}

/** The one moment of a table without a DATE, where the fix itself takes it for the day. */
function onlyMoment({ columns }: TableShape, bound: Set<string>): TableColumn | null {
  const days = columns.filter(({ type }) => ['DATE', 'DATETIME', 'TIMESTAMP'].includes(type));
  const [day] = days;
  if (days.length !== 1 || day!.type === 'DATE' || day!.repeated || !bound.has(day!.name.toLowerCase())) return null;
  return { name: day!.name, type: day!.type };
}

/** Refuses a change that could reach rows of another day, or move rows to one. */
function refuseOtherDays({ kind, line, bound, assigns }: GuardedStatement, { table, dayColumn }: FixTarget): void {
  if (kind === 'insert') return;
  const what = kind.toUpperCase();
  if (dayColumn === null) {
    throw new FixRefused(
      `line ${line}: nothing tells which column of ${shortName(table)} holds the day of a row, so that ${what} could reach any day: say it in fixes.day_columns, such as { ${shortName(table)}: ${bound[0]} }.`,
    );
  }
  const name = dayColumn.name.toLowerCase();
  const names = name === INGESTION_TIME.name.toLowerCase() ? INGESTION_NAMES : [name];
  if (!bound.some((column) => names.includes(column))) {
    throw new FixRefused(
      `line ${line}: this ${what} is bound by ${bound.join(', ')}, but the day of ${shortName(table)} is in ${dayColumn.name}: bound that one to @partition.`,
    );
  }
  if (assigns.some((column) => names.includes(column))) {
    throw new FixRefused(
      `line ${line}: this ${what} sets ${dayColumn.name}, which would move rows to another day: leave that column as it is.`,
    );
  }
}

function shortName(table: string): string {
  return table.split('.').slice(1).join('.');
}
