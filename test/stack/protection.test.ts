import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { pino } from 'pino';
import { command } from '../../src/activities/command.js';
import { dbtBuild } from '../../src/activities/dbt-build.js';
import type { StepDeps } from '../../src/activities/step-activity.js';
import { loadConfig } from '../../src/config.js';
import type { StepActivity } from '../../src/contracts/activities.js';
import type { StepFailure } from '../../src/contracts/failure.js';
import type { StepRequest, StepResult } from '../../src/contracts/step.js';
import { createRunner } from '../../src/runners/create-runner.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { openProtectedTables } from '../../src/warehouse/protected-tables.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';
import { type Files, type Protection, startProtectedDbt, writeShop } from './fixtures/protected-project.js';

const PROJECT = 'protection-test';
const ORDERS = `${PROJECT}.shop.fct_orders`;
const { venv } = loadConfig();

let directory: string;
let project: string;
let emulator: BigQueryEmulator;
let bigquery: BigQuery;
let dbt: ReturnType<typeof startProtectedDbt>;
let deps: StepDeps;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-protection-'));
  const pipelinesDir = path.join(directory, 'pipelines');
  const stateDir = path.join(directory, 'state');
  project = path.join(pipelinesDir, 'shop', 'dbt');
  mkdirSync(project, { recursive: true });
  emulator = await startBigQuery(venv, path.join(directory, 'bigquery'));
  bigquery = bigQueryClients({ bigqueryEndpoint: emulator.address })(PROJECT);
  dbt = startProtectedDbt(venv, project, path.join(directory, 'dbt.log'));
  const logger = pino({ level: 'silent' });
  const config = {
    ...loadConfig({ DAYFILL_STATE_DIR: stateDir, DAYFILL_PIPELINES: pipelinesDir, DAYFILL_VENV: venv }, directory),
    bigqueryEndpoint: emulator.address,
  };
  deps = {
    config,
    clients: bigQueryClients(config),
    warn: async () => {},
    runner: createRunner({ stateDir, logger }),
    logger,
    cancelLabelledJobs: async () => {},
    protectedTables: openProtectedTables(bigquery, 'dayfill', 'US'),
  };
  writeShop(project, emulator.address);
  expect(await dbt.run(['build'])).toEqual({ success: true, refusal: null, failures: [] });
  await bigquery.query("insert into shop.fct_orders values (99, date '2020-01-01', numeric '1')");
  await bigquery.query('create procedure shop.wipe() begin truncate table shop.fct_orders; end');
});
afterAll(async () => {
  await dbt?.stop();
  await deps?.runner.close();
  await emulator?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** What would show that something ran: the rows of the protected table, and when each table was made or changed. */
async function state() {
  const [orders] = await bigquery.query('select * from shop.fct_orders order by order_id');
  const changed = ['fct_orders', 'stg_orders', 'daily', 'orders_history'].map(async (name) => {
    const [{ creationTime, lastModifiedTime }] = await bigquery.dataset('shop').table(name).getMetadata();
    return { name, creationTime, lastModifiedTime };
  });
  return { orders, tables: await Promise.all(changed) };
}

/** The model with more settings, and with something before its query. */
const model = (settings: string, before = '') => ({
  'models/fct_orders.sql': `{{ config(materialized='incremental', unique_key='order_id'${settings}) }}
${before}select * from {{ ref('stg_orders') }}`,
});
const hook = (sql: string) => model(`, pre_hook=${JSON.stringify(sql)}`);
const macro = (code: string) => ({
  ...model('', '{{ refresh() }}'),
  'macros/refresh.sql': `{% macro refresh() %}{% if execute %}${code}{% endif %}{% endmacro %}`,
});
const materialized = (name: string) => ({
  'models/fct_orders.sql': `{{ config(materialized='${name}') }} select * from {{ ref('stg_orders') }}`,
});
const projectFile = (models: string, more = '') => ({
  'dbt_project.yml': `name: shop
version: "1.0"
profile: shop
flags: { send_anonymous_usage_stats: false }
models: { shop: { +materialized: table${models} } }
${more}`,
});

interface Attempt {
  files?: Files;
  arguments?: string[];
  env?: Record<string, string>;
  settings?: Protection;
  /** What the refusal says besides the relation. */
  way: RegExp;
}

const known = { known: [ORDERS] };
const listed = { protected: ['shop.fct_*'] };

/** Each is refused before dbt has changed anything. */
const ahead: Record<string, Attempt> = {
  'the flag': { arguments: ['--full-refresh'], way: /the flag full_refresh/ },
  'the environment': { env: { DBT_FULL_REFRESH: 'true' }, way: /the flag full_refresh/ },
  'the flag, though the model says no': {
    files: model(', full_refresh=false'),
    arguments: ['--full-refresh'],
    way: /the flag full_refresh/,
  },
  'full_refresh of the model': { files: model(', full_refresh=true'), way: /full_refresh: true .* fct_orders/ },
  'full_refresh in the properties': {
    files: { 'models/models.yml': 'models: [{ name: fct_orders, config: { full_refresh: true } }]' },
    way: /full_refresh: true .* fct_orders/,
  },
  'full_refresh in the project': {
    files: projectFile(', fct_orders: { +full_refresh: true }'),
    way: /full_refresh: true .* fct_orders/,
  },
  'another materialisation': { files: materialized('table'), settings: known, way: /materialisation table/ },
  'another materialisation of a listed table': {
    files: materialized('table'),
    settings: listed,
    way: /materialisation table/,
  },
  'a view in its place': { files: materialized('view'), settings: known, way: /materialisation view/ },
  'a copy in its place': { files: materialized('copy'), settings: known, way: /materialisation copy/ },
  'the same table by a target for development': {
    files: materialized('table'),
    arguments: ['--target', 'dev'],
    settings: known,
    way: /materialisation table/,
  },
  'another model of the same name in the warehouse': {
    files: {
      ...model(', enabled=false'),
      'models/daily.sql': 'select 1 as n',
      'models/orders_v2.sql': "{{ config(alias='fct_orders') }} select * from {{ ref('stg_orders') }}",
    },
    settings: known,
    way: /materialisation table of orders_v2/,
  },
  'a seed of its name': {
    files: { ...model(", alias='other'"), 'seeds/fct_orders.csv': 'order_id\n1\n' },
    settings: listed,
    way: /materialisation seed/,
  },
  'a hook that drops it': { files: hook('drop table if exists {{ this }}'), way: /DROP TABLE in a hook of fct_orders/ },
  'a hook that truncates it, in odd letters': {
    files: hook('select 1; TRUNCATE /* so */ Table\n `protection-test`.shop . `FCT_orders`'),
    way: /TRUNCATE TABLE/,
  },
  'a hook of another model': {
    files: {
      'models/stg_orders.sql':
        "{{ config(post_hook='delete from shop.fct_orders where true') }} select 1 as order_id, date '2025-07-16' as order_date, numeric '1' as amount",
    },
    way: /DELETE of every row in a hook of stg_orders/,
  },
  'a hook that merges nothing into it': {
    files: hook('merge {{ this }} t using (select 0 as id) s on false when not matched by source then delete'),
    way: /MERGE that deletes every row/,
  },
  'a hook that renames it': { files: hook('alter table {{ this }} rename to fct_orders_old'), way: /RENAME TO/ },
  'a hook that lets it expire': {
    files: hook('alter table {{ this }} set options (expiration_timestamp = current_timestamp())'),
    way: /expiration_timestamp/,
  },
  'a hook that drops its dataset': { files: hook('drop schema shop cascade'), way: /DROP SCHEMA/ },
  'a hook that calls a procedure': { files: hook('call shop.wipe()'), way: /TRUNCATE TABLE/ },
  'a hook that puts a statement together': {
    files: hook("execute immediate concat('drop ', 'table shop.fct_orders')"),
    way: /EXECUTE IMMEDIATE/,
  },
  'a script in a hook': {
    files: hook(
      "begin if (select count(*) from {{ this }}) > 0 then execute immediate 'drop table shop.fct_orders'; end if; end",
    ),
    way: /EXECUTE IMMEDIATE: DROP TABLE/,
  },
  'on-run-start': {
    files: projectFile(
      '',
      'on-run-start: "create or replace table `protection-test.shop.fct_orders` as select 1 as n"',
    ),
    way: /CREATE OR REPLACE TABLE in the hook/,
  },
  'on-run-end': {
    files: projectFile('', 'on-run-end: "truncate table {{ target.schema }}.fct_orders"'),
    way: /TRUNCATE TABLE in the hook/,
  },
  'a macro that drops it': {
    files: macro("{% do run_query('drop table ' ~ this) %}"),
    way: /DROP TABLE in fct_orders/,
  },
  'a macro that drops it by the adapter': {
    files: macro('{% do adapter.drop_relation(this) %}'),
    way: /dropping it in fct_orders/,
  },
  'a header before the statement': {
    files: model('', '{% call set_sql_header(config) %} drop table shop.fct_orders; {% endcall %}'),
    way: /DROP TABLE in fct_orders/,
  },
};

/** What only shows once dbt runs: refused before the statement is sent. */
const underWay: Record<string, Attempt> = {
  'a materialisation of the project': {
    files: {
      'macros/incremental.sql': `{% materialization incremental, adapter='bigquery' %}
        {% call statement('main') %} {{ create_table_as(False, this, sql) }} {% endcall %}
        {{ return({'relations': [this]}) }}
      {% endmaterialization %}`,
    },
    way: /CREATE OR REPLACE TABLE in fct_orders/,
  },
  'a macro in the place of one of dbt': {
    files: { 'macros/refresh.sql': '{% macro should_full_refresh() %}{{ return(true) }}{% endmacro %}' },
    way: /CREATE OR REPLACE TABLE in fct_orders/,
  },
  'an operation': {
    files: { 'macros/wipe.sql': "{% macro wipe() %}{% do run_query('drop table shop.fct_orders') %}{% endmacro %}" },
    arguments: ['run-operation', 'wipe'],
    way: /DROP TABLE/,
  },
};

async function attempted({ files, arguments: more = [], env, settings }: Attempt) {
  writeShop(project, emulator.address, files);
  return dbt.run(more[0]?.startsWith('-') === false ? more : ['build', ...more], settings, env);
}

describe('a full refresh of a protected table', () => {
  test.each(Object.entries(ahead))('by %s is refused before anything runs', async (_, attempt) => {
    const before = await state();
    const { success, refusal } = await attempted(attempt);
    expect(refusal).toContain(`${ORDERS} is protected and was left as it is: `);
    expect(refusal).toMatch(attempt.way);
    expect(success).toBe(false);
    expect(await state()).toEqual(before);
  });

  test.each(Object.entries(underWay))('by %s is stopped before the statement is sent', async (_, attempt) => {
    const { orders: before, tables } = await state();
    const { success, refusal } = await attempted(attempt);
    expect(refusal).toContain(`${ORDERS} is protected and was left as it is: `);
    expect(refusal).toMatch(attempt.way);
    expect(success).toBe(false);
    const after = await state();
    expect(after.orders).toEqual(before);
    expect(after.tables[0]).toEqual(tables[0]);
    // What would come after it was not built either.
    expect(after.tables[2]).toEqual(tables[2]);
  });
});

describe('an honest run', () => {
  test.each<[string, Omit<Attempt, 'way'>]>([
    ['merges into it, and makes tables anew', {}],
    [
      'overwrites a partition',
      {
        files: model(
          ", incremental_strategy='insert_overwrite', partition_by={'field': 'order_date', 'data_type': 'date'}, partitions=[\"date '2025-07-16'\"]",
        ),
      },
    ],
    ['adds columns', { files: model(", on_schema_change='append_new_columns'") }],
    ['takes a day out first', { files: hook("delete from {{ this }} where order_date = date '2025-07-16'") }],
    ['makes a table of its own in a hook', { files: hook('create or replace table shop.scratch as select 1 as n') }],
    [
      'refreshes what is taken out',
      { arguments: ['--full-refresh', '--select', 'daily'], settings: { protected: ['shop.*', '!shop.daily'] } },
    ],
    ['refreshes where nobody minds', { arguments: ['--full-refresh', '--target', 'dev_anna'] }],
  ])('%s', async (_, attempt) => {
    expect(await attempted({ ...attempt, way: / / })).toEqual({ success: true, refusal: null, failures: [] });
    const { orders } = await state();
    expect(orders).toHaveLength(4);
  });

  test('builds protected tables that are not there yet', async () => {
    writeShop(project, emulator.address);
    await bigquery.dataset('shop').table('orders_history').delete();
    const settings = { known: [`${PROJECT}.shop.orders_history`], protected: ['shop.orders_*'] };
    expect(await dbt.run(['build', '--select', 'orders_history'], settings)).toMatchObject({ success: true });
  });
});

describe('targets', () => {
  test.each([
    ['prod', undefined, true],
    ['dev', undefined, false],
    ['dev', ['d?v'], true],
    ['prod', [], false],
  ])('%s with protected_targets %j', async (target, targets, isProtected) => {
    writeShop(project, emulator.address);
    const settings: Protection = { protected: ['*.daily'], ...(targets && { targets }) };
    const { success, refusal } = await dbt.run(['run', '--target', target, '--select', 'daily'], settings);
    expect(success).toBe(!isProtected);
    if (isProtected) expect(refusal).toContain('shop.daily is protected');
  });
});

describe('what a text would replace', () => {
  test.each([
    ['create table a.b as select 1', []],
    ['create or replace view a.b as select 1', ['CREATE OR REPLACE VIEW: a.b']],
    ['create or replace temp table b as select 1; drop table b', []],
    ['create or replace table function a.f() as select 1', []],
    ['drop table a.b; drop view if exists `p-1.a.c`', ['DROP TABLE: a.b', 'DROP VIEW: p-1.a.c']],
    ['drop external table my-project-1.a.b', ['DROP EXTERNAL TABLE: my-project-1.a.b']],
    ["select 'drop table a.b', `drop table a.b` -- drop table a.b\n", []],
    ['load data overwrite a.b from files (format = "CSV")', ['LOAD DATA OVERWRITE: a.b']],
    ['delete a.b where 1 = 1', ['DELETE of every row: a.b']],
    ['delete from a.b t where t.x is not null or t.y = 1', ['DELETE of every row: a.b']],
    ['delete from a.b where x = x', ['DELETE of every row: a.b']],
    ["delete from a.b where current_date() > '2020-01-01'", ['DELETE of every row: a.b']],
    ["delete from a.b where day = date '2025-07-16'", []],
    ['delete from a.b where id in (select id from a.c where true)', []],
    ['merge a.b t using a.c s on t.id = s.id when matched then delete', []],
    ['merge into a.b t using a.c s on true when matched then delete', ['MERGE that deletes every row: a.b']],
    [
      'merge a.b t using (select case when x = 1 then 2 end as x from a.c) s on t.x = s.x when matched then update set x = case when s.x = 1 then 2 else 3 end when not matched by source then delete; select 1',
      ['MERGE that deletes every row: a.b'],
    ],
    ["merge a.b t using a.c s on false when not matched by source and day in (date '2025-07-16') then delete", []],
    ['if true then delete from a.b where true; end if', ['DELETE of every row: a.b']],
    ['call bq.refresh_materialized_view("a.b")', []],
    ["execute immediate 'select 1' into x", []],
    ["execute immediate 'drop table a.b' || suffix", [expect.stringContaining('put together')]],
    // To BigQuery the quote after the backslash ends no raw string.
    ["select r'\\' , ' ; drop table a.b ; --'", ['DROP TABLE: a.b'] as unknown[]],
  ])('%s', async (sql, expected) => {
    expect(await dbt.read(sql)).toEqual(expected);
  });

  test('a text that can be read in two ways is said to be so', async () => {
    expect(await dbt.read("select '\\' ; drop table a.b; --'")).toEqual([]);
    expect(await dbt.read('drop table a.b; /* /* */ select 1 */')).not.toEqual([]);
  });
});

describe('a step', () => {
  async function ran(activity: (deps: StepDeps) => StepActivity, given: StepRequest['with']) {
    const environment = new MockActivityEnvironment({ attempt: 1 }, { logger: new DefaultLogger('ERROR') });
    const request: StepRequest = {
      key: 'shop/2025-07-16/build',
      pipeline: 'shop',
      partition: { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' },
      step: 'build',
      project: PROJECT,
      with: given,
      timeoutMs: 120_000,
      retry: { attempts: 1, initialMs: 10 },
    };
    try {
      const result = await environment.run<[StepRequest], StepResult, StepActivity>(activity(deps), request);
      return { result, failure: null };
    } catch (error) {
      if (!(error instanceof ApplicationFailure)) throw error;
      return { result: null, failure: error.details![0] as StepFailure };
    }
  }

  test('remembers what it has built, so that another materialisation is refused', async () => {
    writeShop(project, emulator.address);
    expect((await ran(dbtBuild, { project: 'dbt' })).failure).toBeNull();
    expect(await deps.protectedTables.list()).toEqual([ORDERS, `${PROJECT}.shop.orders_history`]);
    const before = await state();
    writeShop(project, emulator.address, materialized('table'));
    const { failure } = await ran(dbtBuild, { project: 'dbt' });
    expect(failure).toMatchObject({ kind: 'pipeline', message: expect.stringContaining(`${ORDERS} is protected`) });
    expect(failure!.message).toContain('the materialisation table of fct_orders');
    expect(await state()).toEqual(before);
  });

  test.each(['cli', 'warm'])('is refused the flag from its environment, by runner %s', async (runner) => {
    writeShop(project, emulator.address);
    const before = await state();
    process.env.DBT_FULL_REFRESH = 'true';
    const { failure } = await ran(dbtBuild, { project: 'dbt', runner, env: ['DBT_FULL_REFRESH'] });
    delete process.env.DBT_FULL_REFRESH;
    expect(failure).toMatchObject({ kind: 'pipeline', message: expect.stringContaining('the flag full_refresh') });
    expect(await state()).toEqual(before);
  });

  test('of any kind that runs dbt is kept from it, whatever it makes of the error', async () => {
    writeShop(project, emulator.address);
    const before = await state();
    const run = ['bash', '-c', 'cd dbt && dbt build --full-refresh --profiles-dir . || true'];
    const { failure } = await ran(command, { run });
    expect(failure).toMatchObject({ kind: 'pipeline', message: expect.stringContaining('the flag full_refresh') });
    expect(await state()).toEqual(before);
  });
});
