import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import type { Estimate } from '../../src/client/estimate.js';
import type { LedgerRow } from '../../src/contracts/ledger.js';
import type { StepHeartbeat } from '../../src/contracts/step.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { CommandLine } from '../support/command-line.js';
import {
  type CommandPipeline,
  type CommandStack,
  currentDetails,
  type PipelineChanges,
  startCommandStack,
} from '../support/command-pipelines.js';
import { Webhooks } from './fixtures/listeners.js';
import { isRunning, until } from './fixtures/processes.js';

const [D1, D2, D3] = ['2025-07-01', '2025-07-02', '2025-07-03'] as const;
const PROJECT = 'limits-test';
/** The least that BigQuery bills for a query of a table. */
const MIN_BILLED = 10 * 1024 ** 2;
/** Ten MiB cost a dollar. */
const PRICE_PER_TIB = '104857.6';
/** Runs for minutes where nobody stops it. */
const ENDLESS =
  'select count(*) as n from unnest(generate_array(1, 200000)) as a, unnest(generate_array(1, 200000)) as b where mod(a * b, 7) = 3';
const CHEAP = 'select count(day) as n from d.events';
/** Reads two tables. */
const DEARER = 'select count(e.amount) as n from d.events as e join d.other as o on e.day = o.day';

let webhooks: Webhooks;
let commands: CommandStack;
let cli: CommandLine;
let bigquery: BigQuery;
let names = 0;

beforeAll(async () => {
  webhooks = await Webhooks.start();
  commands = await startCommandStack({
    env: { DAYFILL_PRICE_PER_TIB_USD: PRICE_PER_TIB, HOOK: webhooks.url('/hook') },
  });
  cli = new CommandLine(commands.stack.env);
  bigquery = bigQueryClients(commands.stack.config())(PROJECT);
  await bigquery.createDataset('d');
  const days = `unnest(generate_date_array('2025-07-01', '2025-07-10')) as day`;
  await bigquery.query(`create table d.events as select day, 1 as amount from ${days}`);
  await bigquery.query('create table d.other as select day from d.events');
  await bigquery.query('create table d.cleaned (day date)');
});
afterAll(async () => {
  await commands?.stop();
  await webhooks?.stop();
});
beforeEach(() => {
  webhooks.posts.length = 0;
});

/** A pipeline of steps that run these queries, with a cleanup that notes its day in `d.cleaned`. */
function pipelineOf(
  steps: Record<string, { sql: string; limits?: unknown; remedies?: unknown }>,
  changes: PipelineChanges = {},
): CommandPipeline {
  const name = `limited${++names}`;
  const vars = { project_id: PROJECT, dataset: 'd' };
  const cleanup = [{ uses: 'bigquery/query', with: { file: 'sql/cleanup.sql' } }];
  const all = Object.entries(steps).map(([id, { sql: _, limits, remedies }]) => ({
    ...{ id, uses: 'bigquery/query', with: { file: `sql/${id}.sql` } },
    ...(limits !== undefined && { limits, cleanup }),
    ...(remedies !== undefined && { remedies }),
  }));
  const pipeline = commands.pipeline(name, { vars, notify: [{ webhook: 'HOOK' }], steps: all, ...changes });
  const sqlOf = { ...Object.fromEntries(Object.entries(steps).map(([id, { sql }]) => [id, sql])), cleanup: CLEANUP };
  mkdirSync(path.join(pipeline.dir, 'sql'));
  for (const [id, sql] of Object.entries(sqlOf)) writeFileSync(path.join(pipeline.dir, 'sql', `${id}.sql`), sql);
  return pipeline;
}

const CLEANUP = 'insert into d.cleaned values (@partition)';

async function cleanedDays(): Promise<string[]> {
  const [rows] = await bigquery.query('select distinct cast(day as string) as day from d.cleaned order by day');
  return rows.map(({ day }: { day: string }) => day);
}

const steps = (row: LedgerRow) => Object.fromEntries(row.steps.map((step) => [step.id, step]));
const titles = () => webhooks.posts.map(({ body }) => body.title);

/** Jobs of a pipeline that have not ended. */
async function openJobs(pipeline: CommandPipeline): Promise<string[]> {
  const [jobs] = await bigquery.getJobs({ stateFilter: ['running', 'pending'], projection: 'full' });
  const mine = jobs.filter(({ metadata }) => metadata.configuration?.labels?.dayfill_pipeline === pipeline.name);
  return mine.map(({ id }) => id!);
}

test('a query that would bill more than its limit is refused; raising the limit and trying again heals the day', async () => {
  const pipeline = pipelineOf({ crm: { sql: CHEAP, limits: { bytes_billed: '5MiB' } } });
  await pipeline.start({ partitions: [D1] });
  const failure = await pipeline.waiting(D1);
  expect(failure).toMatchObject({ kind: 'limit', step: 'crm', message: expect.stringContaining('bytes billed') });
  expect(await cleanedDays()).toContain(D1);
  await until('the red flag', () =>
    titles().includes(`${pipeline.name}: red flag: ${D1} crossed a limit and waits for a decision`),
  );
  const shown = await cli.json<{ steps: { failure: { kind: string } }[] }>(['show', pipeline.name, D1]);
  expect(shown.steps[0]!.failure.kind).toBe('limit');
  expect((await cli.run(['show', pipeline.name, D1])).stdout).toContain('(limit, fingerprint');
  expect(await currentDetails(pipeline.day(D1))).toContain('Step `crm` failed (limit');

  pipeline.write(pipeline.text().replace('5MiB', '50MiB'));
  await pipeline.resolve(D1, { action: 'retry', failure: failure.id });
  await pipeline.backfill().result();
  const row = (await pipeline.rows()).at(-1)!;
  expect(row.status).toBe('fixed');
  expect(steps(row).crm).toMatchObject({ bytesBilled: MIN_BILLED, costUsd: 1, warnings: [] });
  expect(steps(row).crm!.slotMs).toBeGreaterThan(0);
});

test.each([
  ['run time', { runtime: '3s' }, /^The step has run for [\d.]+ s, more than its limit runtime of 3 s\.$/],
  [
    'slot time',
    { slot_hours: 0.0002 },
    /^The step has taken [\d.]+ slot-hours, more than its limit slot_hours of 0\.0002 slot-hours\.$/,
  ],
])('a query over its %s is stopped within seconds, and its job is gone', async (_, limits, message) => {
  const pipeline = pipelineOf({ crm: { sql: ENDLESS, limits } });
  const began = Date.now();
  await pipeline.startDay(D2);
  const failure = await pipeline.waiting(D2);
  expect(Date.now() - began).toBeLessThan(30_000);
  expect(failure).toMatchObject({ kind: 'limit', message: expect.stringMatching(message) });
  expect(await openJobs(pipeline)).toEqual([]);
  expect(await cleanedDays()).toContain(D2);
  // What it took until then is told all the same.
  expect((await pipeline.state(D2)).steps[0]!.slotMs).toBeGreaterThan(0);
  await pipeline.resolve(D2, { action: 'skip', failure: failure.id });
});

test('a program over its limits is stopped with the jobs that it started', async () => {
  const pipeline = pipelineOf({});
  const program = path.join(pipeline.dir, 'job.mjs');
  writeFileSync(program, STARTS_A_JOB);
  const limits = { slot_hours: 0.0002 };
  const run = [process.execPath, program, ENDLESS];
  pipeline.write(pipeline.text({ steps: [{ id: 'crm', uses: 'command', with: { run }, limits }] }));
  await pipeline.startDay(D1);
  const pid = await until('the program', async () => {
    const heartbeat = await heartbeatOf(pipeline, D1);
    return heartbeat?.pid ?? null;
  });
  expect(await pipeline.waiting(D1)).toMatchObject({ kind: 'limit', message: expect.stringContaining('slot_hours') });
  expect(isRunning(pid)).toBe(false);
  expect(await openJobs(pipeline)).toEqual([]);
});

/** What a program does that knows of dayfill: it labels its jobs. */
const STARTS_A_JOB = `
const url = process.env.DAYFILL_BIGQUERY_ENDPOINT + '/bigquery/v2/projects/${PROJECT}/jobs';
const labels = JSON.parse(process.env.DAYFILL_LABELS);
const configuration = { labels, query: { query: process.argv[2], useLegacySql: false } };
await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ configuration }) });
setInterval(() => {}, 1000);
`;

async function heartbeatOf(pipeline: CommandPipeline, partition: string): Promise<StepHeartbeat | null> {
  const { raw } = await pipeline.day(partition).describe();
  const data = raw.pendingActivities?.[0]?.heartbeatDetails?.payloads?.[0]?.data;
  return data ? (JSON.parse(Buffer.from(data).toString()) as StepHeartbeat) : null;
}

/** A dbt project in the pipeline's folder, whose jobs carry dayfill's labels. */
function dbtProject(pipeline: CommandPipeline, models: Record<string, string>): void {
  const comment = `query-comment:\n  comment: "{{ env_var('DAYFILL_LABELS', '{}') }}"\n  job-label: true\n`;
  const files = {
    'dbt_project.yml': `name: shop\nprofile: shop\nversion: '1.0'\n${comment}`,
    'profiles.yml': PROFILE,
    ...Object.fromEntries(Object.entries(models).map(([name, sql]) => [`models/${name}.sql`, sql])),
  };
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(pipeline.dir, 'dbt', name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}

test("dbt's jobs are held to the limit and counted, by their labels", async () => {
  const pipeline = pipelineOf({});
  dbtProject(pipeline, { totals: "{{ config(materialized='table') }} select sum(amount) as total from d.events" });
  const step = { id: 'crm', uses: 'dbt/build', with: { project: 'dbt' } };
  pipeline.write(pipeline.text({ steps: [{ ...step, limits: { cost_usd: 0.5 } }] }));
  await pipeline.startDay(D1);
  const failure = await until('dbt to be refused', async () => (await pipeline.state(D1)).failure, 120_000);
  expect(failure).toMatchObject({ kind: 'limit', message: expect.stringMatching(/exceeded limit for bytes billed/) });
  pipeline.write(pipeline.text({ steps: [{ ...step, limits: { cost_usd: 5 } }] }));
  await pipeline.resolve(D1, { action: 'retry', failure: failure.id });
  expect(await pipeline.day(D1).result()).toMatchObject({ status: 'fixed', costUsd: 1 });
  expect(steps((await pipeline.rows()).at(-1)!).crm).toMatchObject({ bytesBilled: MIN_BILLED, costUsd: 1 });
});

const PROFILE = `shop:
  target: local
  outputs:
    local:
      type: bigquery
      method: oauth-secrets
      token: emulator
      api_endpoint: "{{ env_var('DAYFILL_BIGQUERY_ENDPOINT') }}"
      project: ${PROJECT}
      dataset: d
      threads: 1
      maximum_bytes_billed: "{{ env_var('DAYFILL_MAXIMUM_BYTES_BILLED', '0') | int }}"
`;

test('a step that crosses a limit and only warns of it goes on, and people are told', async () => {
  const limits = { bytes_billed: '1MiB', cost_usd: 0.5, on_limit: 'warn' };
  const pipeline = pipelineOf({ crm: { sql: CHEAP, limits }, identity: { sql: 'select 1 as n' } });
  await pipeline.run({ partitions: [D1] });
  const row = (await pipeline.rows()).at(-1)!;
  expect(row.status).toBe('succeeded');
  expect(steps(row).crm!.warnings).toEqual([
    'The step has billed 10 MiB, more than its limit bytes_billed of 1 MiB.',
    'The step has cost $1.00, more than its limit cost_usd of $0.5.',
  ]);
  expect(steps(row).identity).toMatchObject({ warnings: [], bytesBilled: 0 });
  await until(
    'both warnings',
    () =>
      titles().filter((title) => title === `${pipeline.name}: red flag: ${D1} crossed a limit and goes on`).length ===
      2,
  );
  expect((await cli.run(['show', pipeline.name, D1])).stdout).toContain(
    'limit crossed at crm: The step has billed 10 MiB',
  );
});

test('a temporary table of more days than it may have is caught, one of fewer is not', async () => {
  const table = (name: string, days: number) =>
    `create or replace table d.tmp_${name} as select day, 1 as x from unnest(generate_date_array('2025-07-01', date_add(date '2025-07-01', interval ${days - 1} day))) as day`;
  const limits = { temp_tables: [{ like: 'tmp_*_${partition}', date_column: 'day', max_days: 7 }] };
  const pipeline = pipelineOf({ crm: { sql: `${table('`a_2025-07-01`', 7).replace('d.tmp_`', '`d.tmp_')}`, limits } });
  await pipeline.startDay(D1);
  expect(await pipeline.day(D1).result()).toMatchObject({ status: 'succeeded' });

  writeFileSync(path.join(pipeline.dir, 'sql/crm.sql'), table('`a_2025-07-02`', 8).replace('d.tmp_`', '`d.tmp_'));
  writeFileSync(path.join(pipeline.dir, 'sql/cleanup.sql'), 'drop table `d.tmp_a_2025-07-02`');
  await pipeline.startDay(D2);
  expect((await pipeline.waiting(D2)).message).toBe(
    "The table 'd.tmp_a_2025-07-02' holds 8 days (2025-07-01 to 2025-07-08), more than its limit max_days of 7.",
  );
  const [tables] = await bigquery.dataset('d').getTables();
  expect(tables.map(({ id }) => id)).toEqual(expect.arrayContaining(['tmp_a_2025-07-01']));
  expect(tables.map(({ id }) => id)).not.toContain('tmp_a_2025-07-02');
});

test('a limit that cannot be looked at stops the step and says so', async () => {
  const limits = { temp_tables: [{ like: 'events', date_column: 'date', max_days: 100 }] };
  const pipeline = pipelineOf({ crm: { sql: CHEAP, limits } });
  await pipeline.startDay(D1);
  expect(await pipeline.waiting(D1)).toMatchObject({
    kind: 'step_error',
    message: expect.stringMatching(/^The limits cannot be watched: .*date/),
  });
});

test('a remedy can heal what crossed a limit, and its cost counts; a cleanup that fails is told with the limit', async () => {
  const limits = { bytes_billed: '15MiB' };
  const mend = { uses: 'bigquery/query', with: { file: 'sql/mend.sql' } };
  const remedies = [{ id: 'less', when: { kind: 'limit' }, run: [mend], then: 'continue' }];
  const pipeline = pipelineOf({ crm: { sql: DEARER, limits, remedies } });
  writeFileSync(path.join(pipeline.dir, 'sql/mend.sql'), CHEAP);
  await pipeline.startDay(D1);
  expect(await pipeline.day(D1).result()).toMatchObject({ status: 'fixed', costUsd: 1 });
  expect(steps((await pipeline.rows()).at(-1)!).crm).toMatchObject({ bytesBilled: MIN_BILLED, remedies: ['less'] });

  writeFileSync(path.join(pipeline.dir, 'sql/cleanup.sql'), 'drop table d.no_such_table');
  writeFileSync(path.join(pipeline.dir, 'sql/mend.sql'), DEARER);
  await pipeline.startDay(D2);
  expect((await pipeline.waiting(D2)).message).toMatch(/bytes billed.* Its cleanup failed: .*no_such_table/s);
});

test('a budget that has run out pauses the backfill, until it is given as much again or more', async () => {
  const pipeline = pipelineOf({ crm: { sql: CHEAP } }, { budget_usd: 2 });
  const days = { from: '2025-07-01', to: '2025-07-09' };
  await pipeline.start(days);
  const out = await pipeline.until('the budget to run out', ({ status }) => status === 'paused');
  expect(out).toMatchObject({ spentUsd: 2, budgetUsd: 2, ended: { [D1]: 'succeeded', [D2]: 'succeeded' } });
  expect(out.pending[0]).toBe(D3);
  expect(await currentDetails(pipeline.backfill())).toContain('$2.00 of $2.00 spent: the budget has run out');
  const title = `${pipeline.name}: red flag: the budget has run out, the backfill pauses`;
  await until('the red flag', () => titles().includes(title));
  expect((await cli.run(['status', pipeline.name])).stdout).toContain(
    'is paused: 7 pending, 2 succeeded; $2.00 of $2.00 spent',
  );

  expect((await cli.run(['resume', pipeline.name])).code).toBe(0);
  await pipeline.until('it to run out again', ({ status, spentUsd }) => status === 'paused' && spentUsd === 4);
  const less = await cli.run(['resume', pipeline.name, '--budget-usd', '4']);
  expect([less.code, less.stderr]).toEqual([1, expect.stringContaining('has spent $4.00 already')]);
  expect((await cli.run(['resume', pipeline.name, '--budget-usd', '5.5'])).code).toBe(0);
  await pipeline.until('it to run out once more', ({ status, spentUsd }) => status === 'paused' && spentUsd === 6);
  await pipeline.backfill().signal('resume', { budgetUsd: 100 });
  expect(await pipeline.backfill().result()).toMatchObject({ counts: { succeeded: 9 } });
  await until('the digest', () => webhooks.posts.some(({ body }) => String(body.text).includes('Cost: $9.00.')));
  expect(titles().filter((one) => one === title)).toHaveLength(3);
});

test('a command that follows stops when the budget has run out', async () => {
  const pipeline = pipelineOf({ crm: { sql: CHEAP } }, { budget_usd: 1 });
  const outcome = await cli.run(['run', pipeline.name, '--from', D1, '--to', D2]);
  expect([outcome.code, outcome.stdout]).toEqual([
    3,
    expect.stringContaining('the budget has run out: $1.00 of $1.00 spent'),
  ]);
});

test('what a lost worker had used counts on', async () => {
  const pipeline = pipelineOf({ crm: { sql: ENDLESS, limits: { runtime: '8s' } } });
  await pipeline.startDay(D3);
  const ranMs = async () => (await heartbeatOf(pipeline, D3))?.ranMs ?? 0;
  await until('it to have run for five seconds', async () => (await ranMs()) > 5000);
  process.kill(await commands.stack.pid('worker'), 'SIGKILL');
  await commands.stack.up();
  const failure = await pipeline.waiting(D3);
  expect(failure).toMatchObject({ kind: 'limit', message: expect.stringContaining('limit runtime of 8 s') });
  expect(await openJobs(pipeline)).toEqual([]);
  const { events } = await pipeline.day(D3).fetchHistory();
  const at = (event: NonNullable<typeof events>[number]) => Number(event.eventTime!.seconds);
  const started = events!.find(({ activityTaskStartedEventAttributes: a }) => (a?.attempt ?? 0) > 1)!;
  const failed = events!.find((event) => event.activityTaskFailedEventAttributes)!;
  // It had three of the eight seconds left, and some for stopping.
  expect(at(failed) - at(started)).toBeLessThan(7);
});

interface Planned {
  partitions: { partition: string; estimate: Estimate | null }[];
  estimate: Estimate;
}

test('a plan says what it would cost at least, and what is not in it', async () => {
  await bigquery.query('create table d.daily partition by day as select day, amount, 2 as other from d.events');
  const pipeline = pipelineOf({ crm: { sql: 'select sum(amount) as n from d.daily where day = @partition' } });
  dbtProject(pipeline, {
    of_day: 'select amount from d.daily where day = \'{{ var("day") }}\'',
    of_nothing: 'select a from d.no_such_table',
  });
  writeFileSync(path.join(pipeline.dir, 'sql/script.sql'), 'declare n int64 default 1; select n;');
  const dbt = { id: 'build', uses: 'dbt/build', with: { project: 'dbt', vars: { day: '${partition}' } } };
  const script = { id: 'script', uses: 'bigquery/query', with: { file: 'sql/script.sql' } };
  const [crm] = (parse(pipeline.text()) as { steps: unknown[] }).steps;
  pipeline.write(pipeline.text({ steps: [crm, dbt, script, pipeline.step('say')], budget_usd: 0.000001 }));
  const args = ['run', pipeline.name, '--from', D1, '--to', D2, '--plan'];
  const plan = await cli.json<Planned>(args);
  // A day is one row: 8 bytes of day and 8 of amount, for the query and for the model.
  expect(plan.partitions.map(({ partition, estimate }) => [partition, estimate!.bytes])).toEqual([
    [D1, 32],
    [D2, 32],
  ]);
  expect(plan.estimate).toMatchObject({ bytes: 64, costUsd: expect.closeTo((64 / 1024 ** 4) * 104857.6, 6) });
  expect(plan.estimate.unknown).toEqual([
    expect.stringMatching(/^build: model\.shop\.of_nothing: .*no_such_table/),
    'script: a script tells nothing beforehand',
    'say: command tells nothing beforehand',
  ]);
  expect(await pipeline.rows()).toEqual([]);
  const { stdout } = await cli.run(args);
  expect(stdout).toContain('It would read at least 64 B, $0.000006.');
  expect(stdout).toContain('That is more than budget_usd of $0.000001: the backfill would pause on the way.');
  expect(stdout).toContain('  not in it: say: command tells nothing beforehand');
});

test('a plan is made where neither dbt nor the warehouse answers', async () => {
  const pipeline = pipelineOf({ crm: { sql: 'select 1 from d.no_such_table' } });
  dbtProject(pipeline, { of_day: 'select {{ no_such_macro() }}' });
  const [crm] = (parse(pipeline.text()) as { steps: unknown[] }).steps;
  pipeline.write(pipeline.text({ steps: [crm, { id: 'build', uses: 'dbt/build', with: { project: 'dbt' } }] }));
  const plan = await cli.json<Planned>(['run', pipeline.name, '--partitions', D1, '--plan']);
  expect(plan.estimate).toEqual({
    bytes: null,
    costUsd: null,
    unknown: [expect.stringMatching(/^crm: .*no_such_table/), expect.stringMatching(/^build: dbt.*no_such_macro/s)],
  });
});
