import type { BigQuery } from '@google-cloud/bigquery';
import type { StepActivity } from '../contracts/activities.js';
import { sha256Hex } from '../contracts/ids.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import { statusOf } from '../warehouse/errors.js';
import { changeScript, factsQuery, readFacts, rollbackReason, type TableFacts } from '../warehouse/fixes/apply.js';
import {
  backupScript,
  type FixedTable,
  fixedTables,
  fixLocation,
  makeBackupDataset,
} from '../warehouse/fixes/backup.js';
import { type CheckedFix, checkFix } from '../warehouse/fixes/checked-fix.js';
import { readEvidence } from '../warehouse/fixes/evidence.js';
import type { FixRecords } from '../warehouse/fixes/fix-record.js';
import { FixRefused, type SqlGuard } from '../warehouse/fixes/guard.js';
import { failingRows } from '../warehouse/fixes/tests.js';
import { partitionParams } from '../warehouse/partition-params.js';
import { activityHash, classified, type EndedJob, jobsOutput, runStepQuery } from './bigquery-job.js';
import { readSqlFile } from './sql-file.js';
import { type StepContext, type StepDeps, StepError, type StepOutput, stepActivity } from './step-activity.js';

/** What the running of fixes needs besides what every step needs. */
export interface FixParts {
  clients: BigQueryClients;
  guard: SqlGuard;
  fixRecords: FixRecords;
}

type FixContext = StepContext<'bigquery/fix'>;

/**
 * Runs the SQL of a fix: checked by the guard, backed up, in one transaction that rolls back beyond its bounds, and
 * recorded so that it can be undone. What an attempt before has done is found, not done again.
 */
export function bigQueryFix(parts: FixParts): (deps: StepDeps) => StepActivity {
  return stepActivity('bigquery/fix', async (context) => {
    try {
      return await runFix(context, parts);
    } catch (error) {
      // The pipeline's rules forbid it: nothing that another try would change.
      if (error instanceof FixRefused) throw new StepError('pipeline', error.message);
      throw classified(error);
    }
  });
}

async function runFix(context: FixContext, { clients, guard, fixRecords }: FixParts): Promise<StepOutput> {
  const { rules, source } = context.with;
  const { partition } = context.request;
  const sql = 'file' in source ? await readSqlFile(context, source.file) : pinned(source);
  const fix = await checkFix({ clients, guard }, { sql, rules, partition, tests: [], scratch: null });
  const bigquery = clients(rules.project);
  const fixId = activityHash(12);
  const tables = fixedTables(fix.targets, new Set(fix.changes.map(({ table }) => table)), rules, partition, fixId);
  const location = await fixLocation(bigquery, rules, fix.targets);
  const { jobs, facts } = await applied(context, bigquery, { fix, tables, location, fixId });
  if (tables.length > 0) {
    const [variant] = context.request.key.split('/');
    await fixRecords.append({
      fixId,
      status: 'applied',
      pipeline: variant!,
      partition: partition.key,
      partitionStart: partition.start,
      partitionEnd: partition.end,
      step: context.request.step,
      project: rules.project,
      location,
      sha256: sha256Hex(sql),
      sql,
      tables: tables.map(({ counted: _, ...table }, index) => ({ ...table, ...facts[index]! })),
      recordedAt: new Date().toISOString(),
    });
  }
  const rowsChanged = tables.reduce((sum, { counted }, i) => sum + (counted ? facts[i]!.rowsChanged : 0), 0);
  context.log.write(`# fix ${fixId}: ${rowsChanged} rows changed; "dayfill undo" puts them back`);
  const tests = await runTests(context, bigquery, location, tables);
  return { ...jobsOutput(jobs), counts: { rowsChanged, ...tests } };
}

function pinned({ sql, sha256 }: { sql: string; sha256: string }): string {
  const actual = sha256Hex(sql);
  if (actual === sha256) return sql;
  throw new StepError(
    'pipeline',
    `The SQL of the fix is not what was decided: its SHA-256 is ${actual}, not ${sha256}. Decide again.`,
  );
}

interface Prepared {
  fix: CheckedFix;
  tables: FixedTable[];
  location: string;
  fixId: string;
}

/** Creates, backs up, changes: a job each, found again by another attempt. */
async function applied(
  context: FixContext,
  bigquery: BigQuery,
  { fix, tables, location, fixId }: Prepared,
): Promise<{ jobs: EndedJob[]; facts: TableFacts[] }> {
  const { partition } = context.request;
  const { dataset, maxRows, maxBytesBilled } = context.with.rules;
  const run = (name: string, query: string) =>
    runStepQuery(context, bigquery, { name, query, location, dataset, maxBytesBilled });
  const jobs: EndedJob[] = [];
  if (fix.setup.length > 0) jobs.push(await run('setup', fix.setup.map(({ sql }) => `${sql};`).join('\n\n')));
  if (tables.length === 0) return { jobs, facts: [] };
  await makeBackupDataset(bigquery, location);
  jobs.push(await run('backup', backupScript(tables, partition, fixId)));
  const changes = fix.changes.map(({ sql }) => sql);
  const change = await run('change', changeScript(tables, changes, maxRows)).catch((error: unknown) => {
    const reason = rollbackReason((error as Error).message);
    throw reason === null ? error : new StepError('sql_error', reason);
  });
  jobs.push(change);
  const [rows] = await change.job.getQueryResults().catch((error: unknown) => {
    // The warehouse keeps results for a day only, and no longer than that may a worker have been gone.
    if (statusOf(error) !== 404) throw error;
    return bigquery.query({ query: factsQuery(tables), params: partitionParams(partition), location });
  });
  return { jobs, facts: readFacts(rows) };
}

/**
 * Runs the tests that failed where the fix can have mended them; all of them when nothing else will.
 * @throws StepError of kind `test_failure` when the fix stands in for its step and one of them still fails.
 */
async function runTests(
  context: FixContext,
  bigquery: BigQuery,
  location: string,
  tables: FixedTable[],
): Promise<Record<string, number>> {
  const { standsIn, evidence, rules } = context.with;
  const changed = new Set<string | null>(tables.map(({ table }) => table));
  const all = await readEvidence(context.deps.config.stateDir, evidence);
  const tests = all.filter(({ table }) => standsIn || changed.has(table));
  const failing: string[] = [];
  for (const { name, sql } of tests) {
    const rows = await failingRows(bigquery, sql, {
      location,
      labels: context.labels,
      maxBytesBilled: rules.maxBytesBilled,
    });
    context.log.write(`# test ${name}: ${rows === 0 ? 'passes' : `still fails, ${rows} rows`}`);
    if (rows > 0) failing.push(name);
  }
  if (standsIn && failing.length > 0) {
    const error = new StepError('test_failure', `After the fix still failing: ${failing.join(', ')}.`, {
      tests: failing,
    });
    error.evidence = evidence;
    throw error;
  }
  return tests.length === 0 ? {} : { testsPassing: tests.length - failing.length, testsFailing: failing.length };
}
