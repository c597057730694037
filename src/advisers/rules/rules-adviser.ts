import type { Logger } from 'pino';
import type { FailingTest, RemedyClass } from '../../contracts/fix.js';
import type { AdviceContext, Adviser, RefusedSuggestion, Suggestion } from '../adviser.js';
import { columnOf, type TableInfo } from '../table-info.js';
import { changeColumns, createQuarantine, remedyFor, type Target, type TestRemedy } from './remedies.js';
import { WhereNotUsable, whereOf } from './where.js';

interface Planned {
  target: Target;
  remedy: TestRemedy;
  /** Rows that it takes out. */
  rows: number;
}

/** Why there is no fix by rule: one clause for the log. */
class NoRule extends Error {}

/**
 * Derives a fix from the failing dbt tests: `unique` keeps the latest row per key of the partition, `not_null`,
 * `accepted_values` and `relationships` move the offending rows to a quarantine table. Needs no key and no model.
 */
export class RulesAdviser implements Adviser {
  readonly name = 'rules';

  constructor(private readonly logger: Logger) {}

  async propose(context: AdviceContext, refused?: RefusedSuggestion): Promise<Suggestion | null> {
    if (refused !== undefined || context.failure.kind !== 'test_failure') return null;
    try {
      return suggestion(await plan(context));
    } catch (error) {
      if (!(error instanceof NoRule)) throw error;
      this.logger.info({ failure: context.failure.id }, `the rules have no fix: ${error.message}`);
      return null;
    }
  }
}

/** What to do about each failing test. @throws NoRule when one of them is past help by rule. */
async function plan(context: AdviceContext): Promise<Planned[]> {
  const { failure, tests } = context;
  const unknown = failure.tests.find((name) => !tests.some((test) => test.name === name));
  if (unknown !== undefined || tests.length === 0) throw new NoRule(`nothing is known of ${unknown ?? 'its tests'}`);
  const planned = new Map<string, Planned>();
  for (const test of tests) {
    const each = await planOne(context, test);
    // Tests of two models that are made from one table may ask for the same.
    planned.set(each.remedy.statements.join(';'), each);
  }
  const all = [...planned.values()];
  if (all.every(({ rows }) => rows === 0)) throw new NoRule('no row of the partition offends');
  return all;
}

async function planOne(context: AdviceContext, test: FailingTest): Promise<Planned> {
  const { warehouse, partition } = context;
  const tested = test.table === null ? null : await warehouse.table(test.table);
  const target = await targetOf(context, test, tested);
  const remedy = remedyOn(target, test);
  const rows = await warehouse.count(remedy.count);
  if (rows === null) throw new NoRule(`the rows of ${target.name} that offend ${test.name} cannot be counted`);
  if (tested !== null && tested.table !== target.table && hasDay(tested)) {
    const failing = await warehouse.count(remedyOn(tested, test).count);
    if (failing !== null && failing !== rows) {
      throw new NoRule(`${target.name} has ${rows} rows that offend ${test.name}, ${tested.name} has ${failing}`);
    }
  }
  return { target, remedy, rows };

  function remedyOn(table: Target, test: FailingTest): TestRemedy {
    try {
      const remedy = remedyFor(table, test, whereOf(test, table, partition));
      if (remedy !== null) return remedy;
    } catch (error) {
      if (!(error instanceof WhereNotUsable)) throw error;
    }
    throw new NoRule(`${test.name} is no test that they know`);
  }
}

/**
 * The table to change: the only source of the tested one that has the column too, because a build makes the tested one
 * anew; else the tested one itself.
 */
async function targetOf({ warehouse }: AdviceContext, test: FailingTest, tested: TableInfo | null): Promise<Target> {
  const sources = await Promise.all(test.sources.map((source) => warehouse.table(source)));
  const usable = sources.filter((table) => isUsable(table, test));
  if (usable.length === 1) return usable[0]!;
  if (isUsable(tested, test)) return tested;
  throw new NoRule(`no table with the column ${test.column} and a day may be changed`);
}

function isUsable(table: TableInfo | null, { column }: FailingTest): table is Target {
  return table?.changeable === true && hasDay(table) && columnOf(table, column) !== undefined;
}

function hasDay(table: TableInfo): table is Target {
  return table.day !== null;
}

function suggestion(planned: Planned[]): Suggestion {
  const targets = new Map(planned.map(({ target }) => [target.table, target]));
  const changes = planned.flatMap(({ remedy }) => remedy.statements);
  const kinds = new Set(planned.map(({ remedy }) => remedy.kind));
  const [kind] = kinds;
  // A person decides about several kinds at once: no `auto_apply` names them.
  const remedyClass: RemedyClass = kinds.size === 1 ? kind! : 'person';
  return {
    sql: `${[...[...targets.values()].map(createQuarantine), ...changes].join(';\n\n')};\n`,
    explanation: planned.map(explained).join(' '),
    confidence: Math.min(...planned.map(confidence)),
    remedyClass,
    // A row that offends two tests is taken out once.
    expectedRows: planned.length === 1 ? planned[0]!.rows : null,
  };
}

function explained({ target, remedy, rows }: Planned): string {
  const order = remedy.kind === 'unique' ? changeColumns(target) : [];
  const by = order.length === 0 ? '' : ` (latest by ${order.join(', ')})`;
  return `Moves ${rows} ${rows === 1 ? 'row' : 'rows'} ${remedy.what}${by} from ${target.name} to ${target.name}_quarantine.`;
}

/** Which of two rows is right is a guess where nothing tells which is later. */
function confidence({ target, remedy }: Planned): number {
  if (remedy.kind !== 'unique') return 0.8;
  return changeColumns(target).length > 0 ? 0.9 : 0.6;
}
