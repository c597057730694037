import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { pino } from 'pino';
import { bigQueryFix } from '../../src/activities/bigquery-fix.js';
import type { StepDeps } from '../../src/activities/step-activity.js';
import { ledgerPlace } from '../../src/config.js';
import type { StepActivity } from '../../src/contracts/activities.js';
import type { StepFailure } from '../../src/contracts/failure.js';
import type { FailingTest, FixRules, Rehearsal } from '../../src/contracts/fix.js';
import { sha256Hex } from '../../src/contracts/ids.js';
import type { PartitionBounds, StepRequest, StepResult } from '../../src/contracts/step.js';
import type { StepWith } from '../../src/pipeline/step-kinds.js';
import { createRunner } from '../../src/runners/create-runner.js';
import { maskPersonal } from '../../src/runners/mask.js';
import { personalWord } from '../../src/runners/personal-names.js';
import { startTimeOf } from '../../src/runners/processes.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { openFixRecords } from '../../src/warehouse/fixes/fix-record.js';
import { createSqlGuard } from '../../src/warehouse/fixes/guard.js';
import { rehearseFix } from '../../src/warehouse/fixes/rehearse.js';
import { undoFix } from '../../src/warehouse/fixes/undo.js';
import { CommandLine } from '../support/command-line.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import { until } from './fixtures/processes.js';
import { NO_PROTECTED_TABLES } from './fixtures/protected-tables.js';

const PROJECT = 'fixes-test';
const RULES: FixRules = {
  project: PROJECT,
  location: null,
  dataset: null,
  datasets: ['shop'],
  creates: [],
  dayColumns: {},
  maxRows: 10,
  maxBytesBilled: 1_000_000_000,
};
const DAY: PartitionBounds = { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' };
const CHUNK: PartitionBounds = { key: '2020-01-01..2020-01-30', start: '2020-01-01', end: '2020-01-30' };
const PIPELINE = `
pipeline: probe
partition: { every: 1d, start: 2025-07-01 }
vars: { project_id: ${PROJECT} }
fixes: { datasets: [shop], max_rows: 10 }
steps:
  - id: check
    uses: command
    with: { run: [node, -e, process.exit(1)] }
    remedies:
      - id: slow
        when: { kind: exit_code }
        run: [{ uses: bigquery/query, with: { file: fixes/slow.sql } }]
        then: continue
`;
/** Moves all but one row per key aside; some seconds of work when \`slow\`. */
const dedupe = (slow = '', more = '') => `
create table if not exists shop.sale_quarantine (day date, id int64, key string, email string, amount numeric, reason string);
begin transaction;
insert into shop.sale_quarantine (day, id, key, email, amount, reason)
select day, id, key, email, amount, 'double' from shop.sale
where day = @partition and id not in (select max(id) from shop.sale where day = @partition group by key);
delete from shop.sale
where day = @partition and id not in (select max(id) from shop.sale where day = @partition group by key)${slow};
${more}commit transaction;`;
const SLOW = ` and (
  select sum(mod(a * b, 7)) from unnest(generate_array(1, 20000)) as a, unnest(generate_array(1, 20000)) as b
) > 0`;
const UNIQUE: FailingTest = {
  name: 'unique_sale_key',
  kind: 'unique',
  table: `${PROJECT}.shop.sale`,
  column: 'key',
  arguments: {},
  sql: `select key from \`${PROJECT}\`.\`shop\`.\`sale\` group by key having count(*) > 1`,
  modelSql: null,
  sources: [],
};

let folder: string;
let stack: TestStack;
let bigquery: BigQuery;
let command: CommandLine;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'dayfill-fixes-'));
  mkdirSync(path.join(folder, 'probe/fixes'), { recursive: true });
  writeFileSync(path.join(folder, 'probe/pipeline.yaml'), PIPELINE);
  writeFileSync(path.join(folder, 'probe/fixes/slow.sql'), dedupe(SLOW));
  writeFileSync(path.join(folder, 'probe/fixes/dedupe.sql'), dedupe());
  stack = await startTestStack({ env: { DAYFILL_PIPELINES: folder } });
  command = new CommandLine(stack.env);
  bigquery = bigQueryClients(stack.config())(PROJECT);
  await bigquery.createDataset('shop');
});
afterAll(async () => {
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await bigquery.query('drop table if exists shop.sale_quarantine');
  await bigquery.query(`create or replace table shop.sale as
    select date '2025-07-16' as day, 1 as id, 'a' as key, 'jane at home' as email, numeric '1.5' as amount
    union all select date '2025-07-16', 2, 'a', 'jane at home', 1.5
    union all select date '2025-07-16', 3, 'b', null, 7
    union all select date '2025-07-17', 4, 'c', 'joe at home', 9`);
});

async function rows(query: string): Promise<Record<string, unknown>[]> {
  return (await bigquery.query(query))[0];
}

/** What a table holds, whatever its order. */
const contents = async (table: string) =>
  (await rows(`select to_json_string(t) as line from ${table} as t order by 1`)).map(({ line }) => line);

const ids = async (table: string) => (await rows(`select id from ${table} order by id`)).map(({ id }) => id);

interface Ran {
  result: StepResult | null;
  failure: StepFailure | null;
  log: string;
}

interface Options {
  /** Of the activity: the same for another attempt. */
  id?: string;
  partition?: PartitionBounds;
  rules?: Partial<FixRules>;
  with?: Partial<StepWith<'bigquery/fix'>>;
  /** Happens just before a job of this name is started. */
  before?: [name: string, happens: () => Promise<unknown>];
}

const deps = () => {
  const config = stack.config();
  const { project, dataset, location } = ledgerPlace(config);
  const clients = bigQueryClients(config);
  const guard = createSqlGuard(path.join(config.venv, 'bin/python'));
  return {
    clients,
    guard,
    fixRecords: openFixRecords(clients(project), dataset, location),
    mask: maskPersonal,
    personalWord,
  };
};

let activities = 0;

/** Runs SQL as the fix of a partition of the pipeline \`probe\`. */
async function ran(sql: string, { id, partition = DAY, rules, before, ...more }: Options = {}): Promise<Ran> {
  const config = { ...stack.config(), pipelinesDir: folder };
  const logger = pino({ level: 'silent' });
  const runner = createRunner({ stateDir: stack.stateDir, logger });
  const clients = bigQueryClients(config);
  const nothing = async () => {};
  const stepDeps: StepDeps = {
    config,
    runner,
    logger,
    clients,
    protectedTables: NO_PROTECTED_TABLES,
    warn: nothing,
    cancelLabelledJobs: nothing,
  };
  if (before !== undefined) {
    const client = clients(PROJECT);
    const create = client.createQueryJob.bind(client) as (options: { jobId?: string }) => Promise<never>;
    client.createQueryJob = async (options: { jobId?: string }) => {
      if (options.jobId?.includes(`-${before[0]}-`)) await before[1]();
      return create(options);
    };
  }
  const activityId = id ?? `${++activities}`;
  const environment = new MockActivityEnvironment({ activityId }, { logger: new DefaultLogger('ERROR') });
  const activity = bigQueryFix({ ...deps(), clients })(stepDeps);
  const request: StepRequest = {
    key: `probe/${partition.key}/check.fix.1`,
    pipeline: 'probe',
    partition,
    step: 'check.fix.1',
    project: PROJECT,
    with: {
      source: { sql, sha256: sha256Hex(sql) },
      rules: { ...RULES, ...rules },
      evidence: null,
      standsIn: false,
      ...more.with,
    } as unknown as StepRequest['with'],
    timeoutMs: 60_000,
    retry: { attempts: 3, initialMs: 10 },
  };
  try {
    const result = await environment.run<[StepRequest], StepResult, StepActivity>(activity, request);
    return { result, failure: null, log: readFileSync(path.join(stack.stateDir, result.log!), 'utf8') };
  } catch (error) {
    if (!(error instanceof ApplicationFailure)) throw error;
    return { result: null, failure: error.details![0] as StepFailure, log: '' };
  } finally {
    await runner.close();
  }
}

const backups = async () => (await bigquery.dataset('dayfill_backups').getTables())[0].map(({ id }) => id!).sort();

describe('a fix', () => {
  test('changes its rows once, with a backup before and a record after', async () => {
    const { result, log } = await ran(dedupe(), { id: 'once' });
    expect(result).toMatchObject({ counts: { rowsChanged: 1 } });
    expect(result!.jobIds).toHaveLength(3);
    expect(log).toContain('delete from');
    expect(await ids('shop.sale')).toEqual([2, 3, 4]);
    expect(await ids('shop.sale_quarantine')).toEqual([1]);
    const [record, ...more] = await deps().fixRecords.applied('probe', DAY.key);
    expect(more).toEqual([]);
    expect(record).toMatchObject({ step: 'check.fix.1', sha256: sha256Hex(dedupe()), location: 'US' });
    const [aside, sale] = record!.tables;
    expect(sale).toMatchObject({ table: `${PROJECT}.shop.sale`, rowsChanged: 1, rowCount: 2 });
    expect(sale!.backup).toContain('.dayfill_backups.shop__sale__20250716__');
    expect(await ids(`\`${sale!.backup}\``)).toEqual([1, 2, 3]);
    expect(aside).toMatchObject({ day: null, rowsChanged: 1 });
    const [metadata] = await bigquery.dataset('dayfill_backups').table(sale!.backup.split('.')[2]!).getMetadata();
    expect(metadata.description).toContain('partition 2025-07-16');

    const again = await ran(dedupe(), { id: 'once' });
    expect(again.result!.jobIds).toEqual(result!.jobIds);
    expect(again.result!.counts).toEqual({ rowsChanged: 1 });
    expect(await ids('shop.sale_quarantine')).toEqual([1]);
    expect(await deps().fixRecords.applied('probe', DAY.key)).toHaveLength(1);
    await command.run(['undo', 'probe', DAY.key]);
  });

  test('that changes more rows than it may changes nothing, quarantine included', async () => {
    const sql = dedupe('', 'update shop.sale set amount = 0 where day = @partition;');
    const { failure } = await ran(sql, { rules: { maxRows: 1 } });
    expect(failure).toMatchObject({
      kind: 'sql_error',
      message: 'The fix changes 3 rows, more than max_rows 1: it was rolled back.',
    });
    expect(await ids('shop.sale')).toEqual([1, 2, 3, 4]);
    expect(await ids('shop.sale_quarantine')).toEqual([]);
    expect(await deps().fixRecords.applied('probe', DAY.key)).toEqual([]);
  });

  test.each([
    [
      'INSERT',
      'insert into shop.sale select date_add(day, interval 1 day), id, key, email, amount from shop.sale where day = @partition',
    ],
    [
      'MERGE',
      `merge into shop.sale as t
       using (select date_sub(day, interval 1 day) as day, id from shop.sale where day = @partition) as s
       on t.day = @partition and t.day = s.day
       when not matched then insert (day, id) values (s.day, s.id)`,
    ],
  ])('that puts rows on another day by %s changes nothing', async (_, sql) => {
    const before = await contents('shop.sale');
    const { failure } = await ran(sql);
    expect(failure?.message).toMatch(/^The fix touches rows of another day in shop\.sale: it was rolled back\.$/);
    expect(await contents('shop.sale')).toEqual(before);
  });

  test('changes nothing when the rows are no longer those of the backup', async () => {
    const change = () => bigquery.query("insert into shop.sale (day, id, key) values (date '2025-07-16', 9, 'z')");
    const { failure } = await ran(dedupe(), { before: ['change', change] });
    expect(failure?.message).toMatch(/^Rows of this partition in shop\.sale changed .* rolled back\.$/);
    expect(await ids('shop.sale')).toEqual([1, 2, 3, 4, 9]);
  });

  test('whose SQL is not what was decided, or is refused by the guard, does not run', async () => {
    const other = await ran(dedupe(), { with: { source: { sql: `${dedupe()} `, sha256: sha256Hex(dedupe()) } } });
    expect(other.failure).toMatchObject({ kind: 'pipeline', message: expect.stringContaining('not what was decided') });
    const refused = await ran('delete from shop.sale where true');
    expect(refused.failure).toMatchObject({ kind: 'pipeline' });
    expect(await ids('shop.sale')).toEqual([1, 2, 3, 4]);
  });

  test('that stands in for its step must find the tests passing', async () => {
    writeFileSync(path.join(stack.stateDir, 'evidence.json'), JSON.stringify([UNIQUE]));
    const standsIn = { evidence: 'evidence.json', standsIn: true };
    const idle = await ran("update shop.sale set amount = 2 where day = @partition and key = 'a'", { with: standsIn });
    expect(idle.failure).toMatchObject({ kind: 'test_failure', tests: ['unique_sale_key'], evidence: 'evidence.json' });
    const { result } = await ran(dedupe(), { with: standsIn });
    expect(result?.counts).toEqual({ rowsChanged: 1, testsPassing: 1, testsFailing: 0 });
    for (const _ of [1, 2]) await command.run(['undo', 'probe', DAY.key]);
  });
});

describe('undo', () => {
  test('restores exactly what was there, fix by fix, and then has nothing to undo', async () => {
    await bigquery.query('create table shop.seen (id int64)');
    await bigquery.query('insert into shop.seen values (1), (5), (5)');
    const [sale, seen] = [await contents('shop.sale'), await contents('shop.seen')];
    await ran(dedupe());
    const between = await contents('shop.sale');
    await ran(`update shop.sale set email = null, amount = 0 where day = @partition;
      insert into shop.seen select id from shop.sale where day = @partition;
      insert into shop.seen values (1), (5)`);
    // Another partition's fix puts rows into the table without days: they are none of this one's.
    await bigquery.query('insert into shop.seen values (77)');

    const undone = await command.json<{ tables: object[] }>(['undo', 'probe', DAY.key]);
    expect(undone.tables).toContainEqual({ table: `${PROJECT}.shop.sale`, rows: 2 });
    expect(await contents('shop.sale')).toEqual(between);
    expect(await contents('shop.seen')).toEqual([...seen, '{"id":77}']);
    expect(await command.run(['undo', 'probe', DAY.key])).toMatchObject({ code: 0 });
    expect(await contents('shop.sale')).toEqual(sale);
    expect(await ids('shop.sale_quarantine')).toEqual([]);
    const none = await command.run(['undo', 'probe', DAY.key]);
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('no fix of 2025-07-16 of probe to undo') });
    const ledger = await command.json<{ rows: object[] }>(['ledger', 'probe', '--from', DAY.start, '--to', DAY.end]);
    expect(ledger.rows.at(-1)).toMatchObject({ status: 'failed', reason: expect.stringMatching(/^undone: /) });
  });

  test('refuses when rows have changed since, unless it is forced', async () => {
    const before = await contents('shop.sale');
    await ran(dedupe());
    await bigquery.query("update shop.sale set amount = 100 where day = '2025-07-16'");
    const changed = await contents('shop.sale');
    const refused = await command.run(['undo', 'probe', DAY.key]);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/shop\.sale have changed since .*--force/),
    });
    expect(await contents('shop.sale')).toEqual(changed);
    expect(await command.run(['undo', 'probe', DAY.key, '--force'])).toMatchObject({ code: 0 });
    expect(await contents('shop.sale')).toEqual(before);
  });

  test('a chunk of days by a TIMESTAMP', async () => {
    await bigquery.query(`create or replace table shop.click as
      select timestamp '2019-12-31 23:59:59' as at, 1 as id union all select timestamp '2020-01-01 00:00:00', 2
      union all select timestamp '2020-01-30 23:59:59', 3 union all select timestamp '2020-01-31 00:00:00', 4`);
    const before = await contents('shop.click');
    const rules = { dayColumns: { 'shop.click': 'at' } };
    const sql = 'delete from shop.click where date(at) between @partition_start and @partition_end';
    const { result, failure } = await ran(sql, { partition: CHUNK, rules });
    expect(failure).toBeNull();
    expect(result?.counts).toEqual({ rowsChanged: 2 });
    expect(await ids('shop.click')).toEqual([1, 4]);
    const [record] = await deps().fixRecords.applied('probe', CHUNK.key);
    await undoFix(bigquery, record!, false);
    expect(await contents('shop.click')).toEqual(before);
  });
});

describe('a rehearsal', () => {
  const rehearsed = (sql: string, rules: Partial<FixRules> = {}, tests = [UNIQUE]): Promise<Rehearsal> =>
    rehearseFix(deps(), { sql, rules: { ...RULES, ...rules }, partition: DAY, tests });
  const scratch = async () => (await bigquery.dataset('dayfill_scratch').getTables())[0];

  test('tells what would change, masked, and whether the tests pass then, and changes nothing', async () => {
    const [before, backupsBefore] = [await contents('shop.sale'), await backups()];
    const sql = dedupe('', "update shop.sale set amount = 2 where day = @partition and key = 'b';");
    expect(await rehearsed(sql)).toEqual({
      allowed: true,
      reason: null,
      statements: [
        { kind: 'create', table: `${PROJECT}.shop.sale_quarantine`, line: 2 },
        { kind: 'insert', table: `${PROJECT}.shop.sale_quarantine`, line: 4 },
        { kind: 'delete', table: `${PROJECT}.shop.sale`, line: 7 },
        { kind: 'update', table: `${PROJECT}.shop.sale`, line: 9 },
      ],
      rows: 2,
      sample: [
        {
          table: `${PROJECT}.shop.sale`,
          before: { day: '2025-07-16', id: 1, key: 'a', email: '<email>', amount: 1.5 },
          after: null,
        },
        {
          table: `${PROJECT}.shop.sale`,
          before: { day: '2025-07-16', id: 3, key: 'b', email: null, amount: 7 },
          after: { day: '2025-07-16', id: 3, key: 'b', email: null, amount: 2 },
        },
      ],
      testPasses: true,
    });
    expect(await contents('shop.sale')).toEqual(before);
    expect(
      await rows("select table_name from shop.INFORMATION_SCHEMA.TABLES where table_name = 'sale_quarantine'"),
    ).toEqual([]);
    expect(await scratch()).toEqual([]);
    expect(await backups()).toEqual(backupsBefore);
  });

  test('of a source tells whether the test of what is built from it would pass', async () => {
    await bigquery.query('create or replace view shop.model as select * from shop.sale');
    const table = `${PROJECT}.shop.model`;
    const built = { ...UNIQUE, table, sql: UNIQUE.sql.replace('`sale`', '`model`'), sources: [UNIQUE.table!] };
    expect(await rehearsed(dedupe(), {}, [built])).toMatchObject({ allowed: true, testPasses: true });
    const idle = "update shop.sale set amount = 2 where day = @partition and key = 'a'";
    expect(await rehearsed(idle, {}, [built])).toMatchObject({ allowed: true, rows: 2, testPasses: false });
    expect(await rehearsed(idle, {}, [{ ...built, sources: [] }])).toMatchObject({ testPasses: null });
  });

  test('refuses what the guard, the row limit, the other days or the warehouse refuse', async () => {
    const otherDay =
      'insert into shop.sale select date_add(day, interval 1 day), id, key, email, amount from shop.sale where day = @partition';
    const [guard, limit, day, warehouse] = [
      await rehearsed('drop table shop.sale'),
      await rehearsed('update shop.sale set amount = 2 where day = @partition', { maxRows: 2 }),
      await rehearsed(otherDay),
      await rehearsed('update shop.sale set amount = nonsense where day = @partition'),
    ];
    const fromAnotherDay =
      'insert into shop.sale select * from shop.sale where day = date_add(@partition, interval 1 day)';
    expect(await rehearsed(fromAnotherDay)).toMatchObject({ allowed: false, rows: 1, reason: day!.reason });
    expect(guard).toMatchObject({ allowed: false, rows: null, statements: [], testPasses: null });
    expect(limit).toMatchObject({ allowed: false, rows: 3, reason: 'The fix changes 3 rows, more than max_rows 2.' });
    expect(day).toMatchObject({ allowed: false, reason: 'The fix touches rows of another day in shop.sale.' });
    expect(warehouse).toMatchObject({ allowed: false, rows: null, reason: expect.stringContaining('nonsense') });
    expect(warehouse.reason).not.toMatch(/dayfill_scratch|shop__|\[\d+:/);
    expect(await scratch()).toEqual([]);
  });

  test('from the command line needs a file that is there', async () => {
    const rehearsal = await command.json<Rehearsal>(['rehearse', 'probe', DAY.key, 'fixes/dedupe.sql']);
    expect(rehearsal).toMatchObject({ allowed: true, rows: 1, testPasses: null });
    const text = await command.run(['rehearse', 'probe', DAY.key, path.join(folder, 'probe/fixes/dedupe.sql')]);
    expect(text).toMatchObject({ code: 0, stdout: expect.stringContaining('1 row would change') });
    writeFileSync(path.join(folder, 'probe/fixes/bad.sql'), 'delete from shop.sale where true');
    expect(await command.run(['rehearse', 'probe', DAY.key, 'fixes/bad.sql'])).toMatchObject({ code: 1 });
    expect(await command.run(['rehearse', 'probe', DAY.key, 'fixes/none.sql'])).toMatchObject({ code: 2 });
    expect(await command.run(['rehearse', 'probe', '2025-02-30', 'fixes/dedupe.sql'])).toMatchObject({ code: 2 });
  });
});

describe('a worker that is killed', () => {
  const changeJob = async (day: string) => {
    const [jobs] = await bigquery.getJobs({ projection: 'full', maxResults: 1000 });
    return jobs.find(({ id }) => id!.startsWith(`dayfill-probe-${day}-`) && id!.includes('-change-'));
  };
  const stateOf = async (day: string) => (await changeJob(day))?.metadata.status.state;

  test.each([
    ['while the change runs', '2025-07-16', false],
    ['between the change and its record, and the warehouse too', '2025-07-17', true],
  ])(
    '%s: the fix is made once and recorded',
    async (_, day, afterwards) => {
      await bigquery.query(`update shop.sale set day = '${day}' where true`);
      await command.run(['run', 'probe', '--partitions', day, '--detach']);
      await until('the change runs', async () => (await stateOf(day)) === 'RUNNING', 60_000);
      const worker = await stack.pid('worker');
      process.kill(worker, 'SIGSTOP');
      if (afterwards) await until('the change is made', async () => (await stateOf(day)) === 'DONE', 60_000);
      process.kill(worker, 'SIGKILL');
      await until('the worker is gone', () => startTimeOf(worker) === null);
      await stack.up();
      await until(
        'the day ends',
        async () => {
          const { rows } = await command.json<{ rows: { status: string; partition: string }[] }>(['ledger', 'probe']);
          return rows.some(({ partition, status }) => partition === day && status === 'fixed');
        },
        60_000,
      );
      expect(await ids('shop.sale')).toEqual([2, 3, 4]);
      expect(await ids('shop.sale_quarantine')).toEqual([1]);
      const records = await deps().fixRecords.applied('probe', day);
      expect(records).toMatchObject([
        { step: 'check.slow.1', tables: [{ rowsChanged: 1 }, { rowsChanged: 1, rowCount: 3 }] },
      ]);
      expect(await command.run(['undo', 'probe', day])).toMatchObject({ code: 0 });
      expect(await ids('shop.sale')).toEqual([1, 2, 3, 4]);
    },
    120_000,
  );
});
