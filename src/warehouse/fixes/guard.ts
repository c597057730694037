import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { FixStatement } from '../../contracts/fix.js';
import type { PartitionBounds } from '../../contracts/step.js';

/** SQL of a test, and the tables that stand in for others in it (`project.dataset.table`, both). */
export interface GuardTest {
  sql: string;
  tables: Record<string, string>;
}

/** Where a rehearsal's copies are: table `dataset.t` is `<project>.<scratch.dataset>.<prefix>dataset__t`. */
export interface Scratch {
  dataset: string;
  prefix: string;
}

export interface GuardRequest {
  sql: string;
  project: string;
  /** Dataset of tables that name none. */
  dataset: string | null;
  /** Datasets that may be read and changed. */
  datasets: string[];
  /** Tables (`dataset.table`) that may be created besides quarantine and backup tables. */
  creates: string[];
  partition: PartitionBounds;
  /** Null when nothing is to be rehearsed. */
  scratch: Scratch | null;
  tests: GuardTest[];
}

/** A column; its type as the table's metadata has it, or the CREATE of a table that is not there yet. */
export interface TableColumn {
  name: string;
  type: string;
}

/** What a CREATE says about its table. */
export interface CreatedTable {
  /** Empty when they follow from a query or from another table. */
  columns: TableColumn[];
  /** Column that it is partitioned by; null when it is not. */
  partitionColumn: string | null;
  /** Table that it is made like; null otherwise. */
  like: string | null;
}

/** One statement that the guard lets pass. BEGIN and COMMIT are left out: dayfill makes its own transaction. */
export interface GuardedStatement extends FixStatement {
  /** The statement's own text, with its tables named in full; no semicolon and no comment at either end. */
  sql: string;
  /** The same on the rehearsal's copies of the tables that the fix changes or creates; null without `scratch`. */
  scratchSql: string | null;
  /** Tables that it reads, `project.dataset.table`. */
  reads: string[];
  /** Columns of the table, in lower case, that the statement bounds to the partition; empty for create and insert. */
  bound: string[];
  /** Columns, in lower case, that UPDATE or MERGE sets in rows that are there, or that INSERT names; empty: all or none. */
  assigns: string[];
  /** Null for all but CREATE. */
  created: CreatedTable | null;
}

export interface GuardedFix {
  statements: GuardedStatement[];
  /** The tests on the rehearsal's tables, one each; null for a test whose SQL could not be read. */
  tests: (string | null)[];
}

/** Why the SQL of a fix may not run: the message is one sentence that says the line and what to do. */
export class FixRefused extends Error {
  override name = 'FixRefused';
}

/**
 * Reads the SQL of a fix and says what it does.
 * @throws FixRefused when a rule forbids it, Error with one sentence when the guard itself cannot run.
 */
export type SqlGuard = (request: GuardRequest) => Promise<GuardedFix>;

/**
 * Reads SQL that is to read only.
 * @throws FixRefused when it is anything but one SELECT, Error with one sentence when the guard itself cannot run.
 */
export type QueryGuard = (query: string) => Promise<void>;

const WAREHOUSE = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../../warehouse');
const TIME_LIMIT_MS = 30_000;
/** A fix of 20 000 characters and a dozen tests come back as far less. */
const OUTPUT_LIMIT = 8_000_000;

/** The guard of warehouse/sql_guard, a process for each call. @param python interpreter of the Python environment. */
export function createSqlGuard(python: string): SqlGuard {
  return (request) => ask<GuardedFix>(python, request);
}

/** The same guard for queries. */
export function createQueryGuard(python: string): QueryGuard {
  return async (query) => void (await ask(python, { query }));
}

async function ask<Answer extends object>(python: string, request: object): Promise<Answer> {
  const ran = await execa(python, ['-m', 'sql_guard'], {
    cwd: WAREHOUSE,
    env: { PYTHONPATH: WAREHOUSE },
    input: JSON.stringify(request),
    timeout: TIME_LIMIT_MS,
    maxBuffer: OUTPUT_LIMIT,
    reject: false,
  });
  // Out of time, or of its stack: what cannot be read is not run.
  if (ran.isTerminated) {
    throw new FixRefused(`The SQL could not be read within ${TIME_LIMIT_MS / 1000} seconds: write it more plainly.`);
  }
  if (ran.failed) throw new Error(whatIsMissing(python, ran.stderr, ran.originalMessage));
  const answer = JSON.parse(ran.stdout) as Answer | { refusal: string };
  if ('refusal' in answer) throw new FixRefused(answer.refusal);
  return answer;
}

function whatIsMissing(python: string, stderr: string | undefined, message: string | undefined): string {
  const lastLine = stderr?.trim().split('\n').at(-1) || message;
  return `The SQL guard cannot run with ${python} (${lastLine}): run \`npm run setup\`, or set DAYFILL_VENV to an environment that has warehouse/requirements.lock.`;
}
