import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { pino } from 'pino';
import { bigQueryQuery } from '../../src/activities/bigquery-query.js';
import type { StepDeps } from '../../src/activities/step-activity.js';
import { loadConfig } from '../../src/config.js';
import type { StepActivity } from '../../src/contracts/activities.js';
import type { StepFailure } from '../../src/contracts/failure.js';
import type { StepRequest, StepResult } from '../../src/contracts/step.js';
import { createRunner } from '../../src/runners/create-runner.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';
import { type JobsServer, startJobsServer, stopped } from './fixtures/bigquery-jobs.js';
import { until } from './fixtures/processes.js';
import { NO_PROTECTED_TABLES } from './fixtures/protected-tables.js';

const PROJECT = 'query-test';
const { venv } = loadConfig();

let directory: string;
let emulator: BigQueryEmulator;
let bigquery: BigQuery;
let jobsServer: JobsServer;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-query-'));
  mkdirSync(path.join(directory, 'pipelines', 'probe', 'fixes'), { recursive: true });
  emulator = await startBigQuery(venv, path.join(directory, 'bigquery'));
  bigquery = bigQueryClients({ bigqueryEndpoint: emulator.address })(PROJECT);
  await bigquery.createDataset('shop');
});
afterAll(async () => {
  await emulator?.stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  jobsServer = await startJobsServer();
});
afterEach(() => jobsServer.stop());

interface Ran {
  result: StepResult | null;
  failure: StepFailure | null;
  error: unknown;
  log: string;
}

interface Options {
  endpoint?: string;
  request?: Partial<StepRequest>;
  during?: (environment: MockActivityEnvironment) => Promise<void>;
}

/** Runs SQL as the step of a day; each call is another attempt at the same activity unless its id is given. */
async function ran(
  sql: string,
  activityId: string,
  { endpoint = emulator.address, request, during }: Options = {},
): Promise<Ran> {
  const stateDir = path.join(directory, 'state');
  const pipelinesDir = path.join(directory, 'pipelines');
  writeFileSync(path.join(pipelinesDir, 'probe', 'fixes', 'fix.sql'), sql);
  const logger = pino({ level: 'silent' });
  const runner = createRunner({ stateDir, logger });
  const config = {
    ...loadConfig({ DAYFILL_STATE_DIR: stateDir, DAYFILL_PIPELINES: pipelinesDir, DAYFILL_VENV: venv }, directory),
    bigqueryEndpoint: endpoint,
  };
  const nothing = async () => {};
  const clients = bigQueryClients(config);
  const deps: StepDeps = {
    config,
    runner,
    logger,
    clients,
    protectedTables: NO_PROTECTED_TABLES,
    warn: nothing,
    cancelLabelledJobs: nothing,
  };
  const environment = new MockActivityEnvironment({ activityId }, { logger: new DefaultLogger('ERROR') });
  const activity = bigQueryQuery(deps);
  const running = environment.run<[StepRequest], StepResult, StepActivity>(activity, {
    key: 'probe/2025-07-16/fix',
    pipeline: 'probe',
    partition: { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' },
    step: 'fix',
    project: PROJECT,
    with: { file: 'fixes/fix.sql', project: PROJECT },
    timeoutMs: 60_000,
    retry: { attempts: 3, initialMs: 10 },
    ...request,
  } satisfies StepRequest);
  const ended = running.then(
    (result: StepResult) => ({ result, failure: null, error: null, log: result.log }),
    (error: unknown) => {
      const failure = error instanceof ApplicationFailure ? (error.details?.[0] as StepFailure) : null;
      return { result: null, failure, error, log: failure?.log ?? null };
    },
  );
  await during?.(environment);
  const { log, ...outcome } = await ended;
  await runner.close();
  return { ...outcome, log: log === null ? '' : readFileSync(path.join(stateDir, log), 'utf8') };
}

async function rows(query: string): Promise<Record<string, unknown>[]> {
  const [found] = await bigquery.query(query);
  return found;
}

describe('on the emulator', () => {
  test('binds the partition as dates', async () => {
    const sql = `create or replace table shop.bounds as
      select @partition as day, @partition_start as first_day, @partition_end as last_day`;
    const chunk = { key: '2025-07-16..2025-07-20', start: '2025-07-16', end: '2025-07-20' };
    const { result, log } = await ran(sql, 'bounds', { request: { partition: chunk } });
    expect(result?.jobIds).toHaveLength(1);
    expect(log).toContain('create or replace table shop.bounds');
    const [metadata] = await bigquery.dataset('shop').table('bounds').getMetadata();
    expect(metadata.schema.fields.map(({ type }: { type: string }) => type)).toEqual(['DATE', 'DATE', 'DATE']);
    expect(
      await rows('select string(day) as day, string(first_day) as f, string(last_day) as l from shop.bounds'),
    ).toEqual([{ day: '2025-07-16', f: '2025-07-16', l: '2025-07-20' }]);
  });

  test('a fix with @partition changes exactly the rows of its day', async () => {
    await bigquery.query(`create or replace table shop.sales as
      select date '2025-07-16' as day, 1 as id union all select date '2025-07-16', 2 union all select date '2025-07-17', 3`);
    const { result } = await ran('delete from shop.sales where day = @partition', 'delete');
    expect(result?.counts).toEqual({ rowsAffected: 2 });
    expect(await rows('select id from shop.sales')).toEqual([{ id: 3 }]);
  });

  test('replaces the token of hand-made scripts everywhere', async () => {
    await ran(
      "create or replace table shop.legacy as select 'PLACEHOLDER_DATE' as a, date 'PLACEHOLDER_DATE' as b",
      'legacy',
    );
    expect(await rows('select a, string(b) as b from shop.legacy')).toEqual([{ a: '2025-07-16', b: '2025-07-16' }]);
  });

  test('an attempt after a crash finds the job of the one before and does not run it again', async () => {
    await bigquery.query('create or replace table shop.once (id int64)');
    const sql = 'insert into shop.once values (1)';
    const first = await ran(sql, 'insert');
    const again = await ran(sql, 'insert');
    expect(again.result?.jobIds).toEqual(first.result?.jobIds);
    expect(again.log).toContain('found as the last attempt left it');
    expect(await rows('select count(*) as n from shop.once')).toEqual([{ n: 1 }]);
  });

  test('another activity of the same step runs it again', async () => {
    await bigquery.query('create or replace table shop.twice (id int64)');
    await ran('insert into shop.twice values (1)', 'first-decision');
    await ran('insert into shop.twice values (1)', 'second-decision');
    expect(await rows('select count(*) as n from shop.twice')).toEqual([{ n: 2 }]);
  });

  test('refused SQL is told with its position, and the same on the next attempt', async () => {
    for (const _attempt of ['first', 'second']) {
      const { failure } = await ran('select 1\nfrom shop.bounds\nwhere nonsense = 1', 'refused');
      expect(failure).toMatchObject({ kind: 'sql_error', message: expect.stringMatching(/nonsense.*\[3:7\]/s) });
    }
  });

  test('a table that is there already is a SQL error, not a job that ran', async () => {
    await bigquery.query('create or replace table shop.there (id int64)');
    const { failure } = await ran('create table shop.there (id int64)', 'there');
    expect(failure).toMatchObject({ kind: 'sql_error', message: expect.stringMatching(/Already Exists: Table/i) });
  });

  test('without a project or a file it says what to do', async () => {
    const { failure } = await ran('select 1', 'no-project', { request: { with: { file: 'fixes/fix.sql' } } });
    expect(failure).toMatchObject({ kind: 'pipeline', message: expect.stringContaining('project_id') });
    const missing = await ran('select 1', 'no-file', { request: { with: { file: 'fixes/no.sql', project: PROJECT } } });
    expect(missing.failure).toMatchObject({ kind: 'missing_executable' });
  });

  test('a warehouse that is down is transient', async () => {
    const { failure, error } = await ran('select 1', 'down', { endpoint: 'http://127.0.0.1:1' });
    expect(failure?.kind).toBe('transient');
    expect(error).toMatchObject({ nonRetryable: false });
  });
});

describe('what only BigQuery itself does', () => {
  const options = () => ({ endpoint: jobsServer.address });
  const ids = () => [...jobsServer.jobs.keys()].map((id) => id.replace(/^.*-/, ''));

  test('a job that runs on is waited for by the next attempt', async () => {
    jobsServer.next.unshift({ state: 'RUNNING' });
    const lost = ran('select 1', 'long', options());
    const [id] = await until('the job', () => (jobsServer.jobs.size > 0 ? [...jobsServer.jobs.keys()] : null));
    const second = ran('select 1', 'long', options());
    jobsServer.jobs.set(id!, { state: 'DONE' });
    expect((await second).result?.jobIds).toEqual([id]);
    expect((await lost).result?.jobIds).toEqual([id]);
    expect(ids()).toEqual(['0']);
  });

  test('a job that failed for now is followed by one with the next number', async () => {
    jobsServer.next.unshift({ state: 'DONE', errorResult: { reason: 'backendError', message: 'Try again' } });
    const first = await ran('select 1', 'flaky', options());
    expect(first.failure).toMatchObject({ kind: 'transient', message: 'Try again' });
    expect((await ran('select 1', 'flaky', options())).result).not.toBeNull();
    expect(ids()).toEqual(['0', '1']);
  });

  test('a job that a lost attempt stopped is followed by another, one that was refused is not', async () => {
    jobsServer.next.unshift(stopped(), {
      state: 'DONE',
      errorResult: { reason: 'invalidQuery', message: 'Syntax error at [1:8]' },
    });
    await ran('select 1', 'stopped', options());
    expect((await ran('select 1', 'stopped', options())).failure).toMatchObject({ kind: 'sql_error' });
    expect((await ran('select 1', 'stopped', options())).failure).toMatchObject({
      ...{ kind: 'sql_error', message: 'Syntax error at [1:8]' },
    });
    expect(ids()).toEqual(['0', '1']);
  });

  test('cancelling the step cancels the job', async () => {
    jobsServer.next.unshift({ state: 'RUNNING' });
    const { error } = await ran('select 1', 'cancelled', {
      ...options(),
      during: async (environment) => {
        await until('the job', () => jobsServer.jobs.size > 0);
        environment.cancel();
      },
    });
    expect(error).toBeInstanceOf(CancelledFailure);
    expect([...jobsServer.jobs.values()]).toEqual([stopped()]);
  });

  test('a step that runs too long cancels its job and says so', async () => {
    jobsServer.next.unshift({ state: 'RUNNING' });
    const { failure } = await ran('select 1', 'slow', { ...options(), request: { timeoutMs: 300 } });
    expect(failure?.kind).toBe('timeout');
    expect([...jobsServer.jobs.values()]).toEqual([stopped()]);
  });
});
