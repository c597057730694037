import { randomBytes } from 'node:crypto';
import type { BigQuery } from '@google-cloud/bigquery';
import type { FailingTest, FixRules, FixStatement, Rehearsal, RowChange } from '../../contracts/fix.js';
import type { Json, PartitionBounds } from '../../contracts/step.js';
import type { BigQueryClients } from '../bigquery.js';
import { ignoringConflict, isTransientWarehouseError, isWarehouseError, warehouseMessage } from '../errors.js';
import { partitionParams } from '../partition-params.js';
import { checkDayColumn, fixLocation } from './backup.js';
import { type CheckedFix, checkFix, type FixTarget } from './checked-fix.js';
import { FixRefused, type GuardTest, type SqlGuard } from './guard.js';
import { type JobOptions, jobOptions } from './job-options.js';
import { differences, insidePartition, outsidePartition, rowsOf, shortName } from './row-sql.js';
import { runScript } from './run-script.js';
import { maskedChanges, pairedChanges, type RowMask } from './sample.js';
import { failingRows } from './tests.js';

/** Dataset of the copies, in the project of the fix. What is left there by accident is gone after a day. */
export const SCRATCH = 'dayfill_scratch';
const DAY_MS = 86_400_000;
/** A fix that takes longer on a copy of one partition is no fix for the night. */
const TIMEOUT_MS = 120_000;
const SAMPLE = 10;
const GONE_IN_A_DAY = 'options (expiration_timestamp = timestamp_add(current_timestamp(), interval 1 day))';
/** Rows of each side that are looked at to find those that belong together. */
const LOOKED_AT = 50;

export interface RehearsalDeps extends RowMask {
  clients: BigQueryClients;
  guard: SqlGuard;
}

export interface RehearsalRequest {
  sql: string;
  rules: FixRules;
  partition: PartitionBounds;
  /** Those that failed. */
  tests: FailingTest[];
  /** Of its BigQuery jobs. */
  labels?: Record<string, string>;
}

/**
 * Finds out what a fix would do, on copies of the partition's rows, without changing anything else.
 * @throws what BigQuery says when it cannot be asked.
 */
export async function rehearseFix(deps: RehearsalDeps, request: RehearsalRequest): Promise<Rehearsal> {
  const { clients, guard, mask } = deps;
  const { sql, rules, partition, tests, labels = {} } = request;
  const scratch = { dataset: SCRATCH, prefix: `r${randomBytes(6).toString('hex')}__` };
  const candidates = tests.map(testCandidates);
  let fix: CheckedFix;
  try {
    fix = await checkFix({ clients, guard }, { sql, rules, partition, scratch, tests: candidates.flat() });
    for (const { table, dayColumn } of fix.targets) checkDayColumn(table, dayColumn);
  } catch (error) {
    if (error instanceof FixRefused) return notAllowed(mask(error.message), []);
    throw error;
  }
  const bigquery = clients(rules.project);
  const location = await fixLocation(bigquery, rules, fix.targets);
  const copies = fix.targets.map((target) => ({ ...target, copy: copyOf(target.table, rules.project, scratch) }));
  const run = new RehearsalRun(bigquery, copies, fix, request, {
    location,
    labels,
    maxBytesBilled: rules.maxBytesBilled,
  });
  try {
    const refused = await run.dryRun();
    if (refused !== null) return notAllowed(mask(refused), run.statements);
    const found = await run.changes();
    const rewritten = [...fix.tests];
    const testPasses = await run.tests(candidates.map((some) => rewritten.splice(0, some.length)));
    const sample = maskedChanges(found.sample.slice(0, SAMPLE), deps);
    const outcome = { statements: run.statements, rows: found.rows, sample, testPasses };
    const reason = found.landed ?? overLimit(found.rows, rules.maxRows);
    return { ...outcome, allowed: reason === null, reason };
  } catch (error) {
    return notAllowed(mask(run.realNames(refusalOf(error))), run.statements);
  } finally {
    await run.clearUp();
  }
}

/** What the warehouse has against a statement; its place is in a script that nobody has seen. @throws anything else. */
function refusalOf(error: unknown): string {
  if (isTransientWarehouseError(error) || !isWarehouseError(error)) throw error;
  return warehouseMessage(error).replace(/ at \[\d+:\d+\]/g, '');
}

/** A table that the fix changes or creates, with the copy that the rehearsal changes in its place. */
type Copy = FixTarget & { copy: string };

interface Found {
  rows: number;
  sample: RowChange[];
  /** Says that rows landed on another day; null when none did. */
  landed: string | null;
}

class RehearsalRun {
  readonly statements: FixStatement[];

  constructor(
    private readonly bigquery: BigQuery,
    private readonly copies: Copy[],
    private readonly fix: CheckedFix,
    private readonly request: RehearsalRequest,
    private readonly options: JobOptions,
  ) {
    this.statements = [...fix.setup, ...fix.changes]
      .map(({ kind, table, line }) => ({ kind, table, line }))
      .sort((a, b) => a.line - b.line);
  }

  /**
   * Has BigQuery check the statements as they would run; those on tables that are still to be created only run on copies.
   * @returns what it has against the first; null for nothing.
   */
  async dryRun(): Promise<string | null> {
    const missing = new Set(this.copies.filter(({ exists }) => !exists).map(({ table }) => table));
    const known = [...this.fix.setup, ...this.fix.changes].filter(
      ({ kind, table, reads }) =>
        !reads.some((name) => missing.has(name)) && (kind === 'create' || !missing.has(table)),
    );
    const params = partitionParams(this.request.partition);
    const dryRun = { params, dryRun: true, ...jobOptions(this.options) };
    const refusals = await Promise.all(
      known.map(({ sql: query, line }) =>
        this.bigquery.createQueryJob({ query, ...dryRun }).then(
          () => null,
          (error: unknown) => `line ${line}: ${refusalOf(error)}`,
        ),
      ),
    );
    return refusals.find((refusal) => refusal !== null) ?? null;
  }

  /** Makes the copies, runs the fix on them and compares. */
  async changes(): Promise<Found> {
    const { location } = this.options;
    await ignoringConflict(this.bigquery.createDataset(SCRATCH, { location, defaultTableExpirationMs: `${DAY_MS}` }));
    const compared = this.copies.filter(({ quarantine }) => !quarantine);
    const bounds = this.request.partition;
    const script = [
      ...this.copies.filter(({ exists }) => exists).flatMap((copy) => [copyStatement(copy), wholeView(copy, bounds)]),
      ...this.fix.setup.flatMap(({ table, scratchSql }) => [
        scratchSql!,
        ...this.copies.filter((copy) => copy.table === table && !copy.exists).map((copy) => wholeView(copy, bounds)),
      ]),
      ...this.fix.changes.map(({ scratchSql }) => scratchSql!),
      ...(compared.length === 0 ? [] : [compared.map(comparison).join('\nunion all\n')]),
    ];
    const rows = await runScript(this.bigquery, {
      query: script.map((statement) => `${statement};`).join('\n\n'),
      params: partitionParams(this.request.partition),
      jobTimeoutMs: TIMEOUT_MS,
      ...jobOptions(this.options),
    });
    const found = compared.length === 0 ? [] : (rows as Compared[]);
    const perTable = compared.map((copy, place) =>
      ofTable(
        copy,
        found.filter((row) => Number(row.place) === place),
      ),
    );
    return {
      rows: perTable.reduce((sum, { rows }) => sum + rows, 0),
      sample: perTable.flatMap(({ sample }) => sample),
      landed: perTable.find(({ landed }) => landed !== null)?.landed ?? null,
    };
  }

  /** @param candidates of each test: itself on the copies, then with each of its sources in place of the tested table. */
  async tests(candidates: (string | null)[][]): Promise<boolean | null> {
    const { tests } = this.request;
    if (tests.length === 0) return null;
    const outcomes = await Promise.all(
      tests.map(async (test, index) => {
        const sql = this.runnable(test, candidates[index]!);
        if (sql === null) return null;
        try {
          return (await failingRows(this.bigquery, sql, this.options)) === 0;
        } catch (error) {
          // A source may lack what the test asks for.
          if (isTransientWarehouseError(error)) throw error;
          return null;
        }
      }),
    );
    if (outcomes.includes(false)) return false;
    return outcomes.includes(null) ? null : true;
  }

  /** The form of a test that tells something of the result; null when there is none. */
  private runnable(
    { table, sources, arguments: { to } }: FailingTest,
    [itself = null, ...bySource]: (string | null)[],
  ) {
    const changed = (name: Json | undefined) => this.copies.find((copy) => copy.table === name);
    const parent = changed(to);
    // A copy with the partition's rows only: rows of other days would seem to have lost their parents.
    if (parent !== undefined && (parent.dayColumn !== null || parent.quarantine)) return null;
    if (table === null || changed(table) !== undefined || parent !== undefined) {
      return itself?.includes(SCRATCH) ? itself : null;
    }
    return bySource[sources.findIndex((source) => changed(source) !== undefined)] ?? null;
  }

  /** A message of the warehouse, about the tables themselves. */
  realNames(message: string): string {
    return this.copies.reduce(
      (text, { table, copy }) =>
        text
          .replaceAll(wholeOf(copy), table)
          .replaceAll(shortName(wholeOf(copy)), shortName(table))
          .replaceAll(wholeOf(copy).split('.')[2]!, shortName(table))
          .replaceAll(copy, table)
          .replaceAll(shortName(copy), shortName(table))
          .replaceAll(copy.split('.')[2]!, shortName(table)),
      message,
    );
  }

  async clearUp(): Promise<void> {
    await Promise.all(
      this.copies
        .flatMap(({ copy }) => [copy, wholeOf(copy)])
        .map((name) =>
          this.bigquery
            .dataset(SCRATCH)
            .table(name.split('.')[2]!)
            .delete({ ignoreNotFound: true })
            // It goes by itself within a day.
            .catch(() => {}),
        ),
    );
  }
}

interface Compared {
  place: number;
  /** A row as JSON that is `n` times more often there than before; null where rows of other days are counted. */
  line: string | null;
  n: number;
  added: number;
  removed: number;
  outside: number;
}

function copyOf(table: string, project: string, { dataset, prefix }: { dataset: string; prefix: string }): string {
  return `${project}.${dataset}.${prefix}${shortName(table).replace('.', '__')}`;
}

/** The partition's rows; of a table without days all rows, or none where rows are only kept aside. */
function copyStatement({ table, copy, dayColumn, quarantine }: Copy): string {
  const condition = dayColumn === null ? `${!quarantine}` : insidePartition(dayColumn);
  return `create table \`${copy}\`\n${GONE_IN_A_DAY}\nas select * from \`${table}\` where ${condition}`;
}

/** Beside a copy, with its name: where statements read what they would of the table itself. The guard names it so too. */
function wholeOf(copy: string): string {
  const [project, dataset, name] = copy.split('.');
  return `${project}.${dataset}.whole_${name}`;
}

/** The copy, and the rows that it was not made of: a fix may read other days. A view takes no parameters. */
function wholeView({ table, copy, exists, dayColumn, quarantine }: Copy, { start, end }: PartitionBounds): string {
  const rest = dayColumn === null ? `${quarantine}` : outsidePartition(dayColumn);
  const others = `\nunion all select * from \`${table}\` where ${rest}`
    .replaceAll('@partition_start', `date '${start}'`)
    .replaceAll('@partition_end', `date '${end}'`);
  return `create or replace view \`${wholeOf(copy)}\`\n${GONE_IN_A_DAY}\nas select * from \`${copy}\`${exists ? others : ''}`;
}

function comparison({ table, copy, dayColumn }: Copy, place: number): string {
  const changed = `select ${place} as place, line, n, added, removed, 0 as outside
from (
  select
    line, n,
    sum(if(n > 0, n, 0)) over () as added,
    sum(if(n < 0, -n, 0)) over () as removed,
    row_number() over (partition by sign(n) order by line) as rank
  from ${differences(rowsOf(copy, null), rowsOf(table, dayColumn))}
)
where rank <= ${LOOKED_AT}`;
  if (dayColumn === null) return changed;
  return `${changed}
union all
select ${place}, cast(null as string), 0, 0, 0, count(*) from \`${copy}\` where ${outsidePartition(dayColumn)}`;
}

function ofTable({ table }: Copy, found: Compared[]): Found {
  const rowsWith = (sign: number) =>
    found
      .filter(({ line, n }) => line !== null && Math.sign(Number(n)) === sign)
      .map(({ line }) => JSON.parse(line!) as Record<string, Json>);
  const changed = found.find(({ line }) => line !== null);
  const outside = found.some((row) => Number(row.outside) > 0);
  return {
    rows: changed === undefined ? 0 : Math.max(Number(changed.added), Number(changed.removed)),
    sample: pairedChanges(table, rowsWith(-1), rowsWith(1)),
    landed: outside ? `The fix touches rows of another day in ${shortName(table)}.` : null,
  };
}

function testCandidates({ sql, table, sources }: FailingTest): GuardTest[] {
  const bySource = table === null ? [] : sources.map((source) => ({ sql, tables: { [table]: source } }));
  return [{ sql, tables: {} }, ...bySource];
}

function overLimit(rows: number, maxRows: number): string | null {
  return rows <= maxRows ? null : `The fix changes ${rows} rows, more than max_rows ${maxRows}.`;
}

function notAllowed(reason: string, statements: FixStatement[]): Rehearsal {
  return { allowed: false, reason, statements, rows: null, sample: [], testPasses: null };
}
