// Records the histories anew: see the README for the command. Not among the tests: it changes files.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import { cancelBackfill } from '../../src/client/start.js';
import type { Proposal, ProposalInput } from '../../src/contracts/fix.js';
import { TASK_QUEUE } from '../../src/contracts/ids.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { until } from '../stack/fixtures/processes.js';
import { type CommandPipeline, type CommandStack, failureOf, startCommandStack } from '../support/command-pipelines.js';
import { type EarlyServer, startEarlyServer } from '../support/early-server.js';
import { clearHistories, saveHistory } from './histories.js';

const PROJECT = 'dayfill-local';
const [D16, D17, D18] = ['2025-07-16', '2025-07-17', '2025-07-18'] as const;
const THREE_DAYS = { from: D16, to: D18 };
/** More events than a backfill of three days has, and fewer than one of a dozen. */
const SUGGEST_AFTER = 80;

let server: EarlyServer;
let commands: CommandStack;
beforeAll(async () => {
  server = await startEarlyServer(SUGGEST_AFTER);
  commands = await startCommandStack({ temporalAddress: server.address });
  clearHistories();
});
afterAll(async () => {
  await commands?.stop();
  await server?.stop();
});

async function save(name: string, handle: WorkflowHandle): Promise<void> {
  await handle.result().catch(() => {}); // some are to fail
  await saveRun(name, handle);
}

async function saveRun(name: string, handle: WorkflowHandle): Promise<void> {
  const { stack } = commands;
  const machine = new Map([
    [stack.config().pipelinesDir, '/pipelines'],
    [stack.stateDir, '/state'],
    [process.execPath, 'node'],
    [process.cwd(), '/dayfill'],
  ]);
  saveHistory(name, await handle.fetchHistory(), machine);
}

test('a good day, alone', async () => {
  const pipeline = commands.pipeline('good');
  await save('good-day', await pipeline.startDay(D16));
});

test('a fixed day', async () => {
  const pipeline = commands.pipeline('fixed');
  const remedies = [pipeline.remedy('unlock', 'crm')];
  pipeline.write(pipeline.text({ steps: [pipeline.step('crm', { remedies }), pipeline.step('identity')] }));
  pipeline.break(`${D16}.crm`);
  await pipeline.run({ partitions: [D16] });
  await save('fixed-day', pipeline.day(D16));
});

/** A backfill of two days, the first of which waits. */
async function firstDayWaits(name: string): Promise<CommandPipeline> {
  const pipeline = commands.pipeline(name);
  pipeline.break(`${D16}.crm`);
  await pipeline.start({ from: D16, to: D17 });
  await pipeline.waiting(D16);
  return pipeline;
}

test('a day that waited and was retried, and its backfill', async () => {
  const pipeline = await firstDayWaits('waiting');
  await pipeline.day(D16).signal('resolve', { action: 'nonsense' });
  await pipeline.resolve(D16, { action: 'retry' });
  await until('it to wait again', async () => (await pipeline.rows()).length === 2);
  pipeline.mend(`${D16}.crm`);
  await pipeline.day(D16).signal('resolve', { action: 'retry', note: 'mended' });
  await save('backfill-of-a-waiting-day', pipeline.backfill());
  await save('waiting-and-retried-day', pipeline.day(D16));
});

test('a skipped day, and one with a skipped step', async () => {
  const pipeline = await firstDayWaits('skipped');
  await pipeline.resolve(D16, { action: 'skip' });
  await save('skipped-day', pipeline.day(D16));
  const other = await firstDayWaits('skipped-step');
  await other.resolve(D16, { action: 'skipStep' });
  await save('day-with-a-skipped-step', other.day(D16));
});

test('an aborted day, and its backfill', async () => {
  const pipeline = await firstDayWaits('aborted');
  await pipeline.resolve(D16, { action: 'abort' });
  await failureOf(pipeline.backfill());
  await save('aborted-day', pipeline.day(D16));
  await save('backfill-of-an-aborted-day', pipeline.backfill());
});

test('a cancelled day, and its backfill', async () => {
  const pipeline = commands.pipeline('cancelled');
  pipeline.hold(`${D16}.crm`);
  await pipeline.start(THREE_DAYS);
  await pipeline.hasBegun(`${D16}.crm`);
  await cancelBackfill(commands.dayfill, 'cancelled', 'now');
  await save('cancelled-day', pipeline.day(D16));
  await save('cancelled-backfill', pipeline.backfill());
});

test('a day whose pipeline file was broken', async () => {
  const pipeline = commands.pipeline('broken');
  const good = pipeline.text();
  pipeline.poison(`${D16}.identity`, 'pipeline: [');
  await pipeline.start({ from: D16, to: D17 });
  await pipeline.waiting(D17);
  pipeline.write(good);
  await pipeline.resolve(D17, { action: 'retry' });
  await save('day-of-a-broken-file', pipeline.day(D17));
});

test('days healed by a fix, a proposal, and what stands for all alike, with people told of it', async () => {
  const bigquery = bigQueryClients(commands.stack.config())(PROJECT);
  await bigquery.createDataset('shop', { location: 'US' });
  await bigquery.query('create table shop.orders (day date, id int64) partition by day');
  const pipeline = commands.pipeline('proposed', {
    vars: { project_id: PROJECT, location: 'US' },
    fixes: { datasets: ['shop'] },
    allow_ad_hoc_sql: true,
    notify: [{ webhook: 'NEVER_SET_HOOK' }],
  });
  const steps = [{ ...pipeline.step('crm'), after_fix: [pipeline.work('rebuild')] }, pipeline.step('identity')];
  pipeline.write(pipeline.text({ steps }));
  for (const day of [D16, D17, D18]) pipeline.break(`${day}.crm`);
  await pipeline.start(THREE_DAYS);
  const first = await pipeline.waiting(D16);
  const sql = 'insert into shop.orders (day, id) values (@partition, 1)';
  const propose = (text: string) =>
    pipeline.day(D16).executeUpdate<Proposal, [ProposalInput]>('propose', { args: [{ failure: first.id, sql: text }] });
  await propose(`${sql} `);
  await pipeline.resolve(D16, { action: 'reject', note: 'not so' });
  const { sha256 } = await propose(sql);
  await pipeline.resolve(D16, { action: 'approve', proposal: sha256, failure: first.id });
  const { fingerprint } = await pipeline.waiting(D17);
  await pipeline.backfill().executeUpdate('resolveAlike', { args: [{ fingerprint }] });
  await save('backfill-with-a-standing-decision', pipeline.backfill());
  await save('day-of-an-approved-proposal', pipeline.day(D16));
  await save('day-of-a-standing-decision', pipeline.day(D18));
  const row = (await pipeline.rows()).find(({ partition, status }) => partition === D18 && status === 'fixed')!;
  expect(row.decisions).toMatchObject([{ way: 'all_alike', action: 'approve', sha256 }]);
});

test('a day that a rule decided on, after a fix that failed', async () => {
  const pipeline = commands.pipeline('late', {
    vars: { project_id: PROJECT, location: 'US' },
    fixes: { datasets: ['shop'], max_rows: 1 },
    allow_ad_hoc_sql: true,
    decide_within: { time: '4s', action: 'skip', remind_every: '1s' },
    notify: [{ webhook: 'NEVER_SET_HOOK' }],
  });
  pipeline.break(`${D16}.crm`);
  await pipeline.start({ partitions: [D16] });
  const { id: failure } = await pipeline.waiting(D16);
  const sql = 'insert into shop.orders (day, id) select @partition, id from unnest([1, 2]) as id';
  await pipeline.resolve(D16, { action: 'fix', sql, failure });
  await save('day-of-decide-within', pipeline.day(D16));
  await save('backfill-of-decide-within', pipeline.backfill());
});

test('a day that revised totals, with people told of it', async () => {
  const pipeline = commands.pipeline('revised', {
    vars: { project_id: PROJECT, location: 'US' },
    notify: [{ webhook: 'NEVER_SET_HOOK' }],
    steps: [{ id: 'reconcile', uses: 'check/reconcile', with: { source: 'totals.sql', target: 'totals.sql' } }],
  });
  for (const orders of [1, 2]) {
    writeFileSync(path.join(pipeline.dir, 'totals.sql'), `select @partition as day, ${orders} as orders`);
    await (await pipeline.startDay(D16)).result();
  }
  await save('day-that-revised-totals', pipeline.day(D16));
});

test('days that waited for a lock', async () => {
  const [one, two] = ['locked-one', 'locked-two'].map((name) => commands.pipeline(name, { lock: 'crm-project' }));
  one!.hold(`${D16}.crm`);
  await one!.startDay(D16);
  await one!.hasBegun(`${D16}.crm`);
  const second = await two!.startDay(D16);
  await until('the second to wait for its turn', async () =>
    (await second.describe()).raw.pendingActivities?.some(({ activityType }) => activityType?.name === 'awaitWorkflow'),
  );
  one!.release(`${D16}.crm`);
  await save('locked-day', second);
});

test('a backfill of three days, paused, added to, beside a day of someone else', async () => {
  const plain = commands.pipeline('three-days');
  await save('backfill-of-three-days', await plain.start(THREE_DAYS));

  const pipeline = commands.pipeline('busy');
  pipeline.hold(`${D16}.crm`);
  await pipeline.startDay(D16);
  await pipeline.hasBegun(`${D16}.crm`);
  const handle = await pipeline.start({ partitions: [D16, D17] });
  await pipeline.until('the foreign day to be met', ({ live }) => live[D16] !== undefined);
  await handle.signal('pause');
  await pipeline.add({ partitions: [D18] });
  await pipeline.until('the pause', ({ status }) => status === 'paused');
  await handle.signal('resume');
  pipeline.release(`${D16}.crm`);
  await save('busy-backfill', handle);
});

test('a backfill that continued as new, with a parked day', async () => {
  const pipeline = commands.pipeline('continued', { on_failure: 'park', parallel_safe: true });
  pipeline.break('2025-07-01.crm');
  pipeline.hold('2025-07-10.crm');
  await pipeline.start({ from: '2025-07-01', to: '2025-07-10', concurrency: 2 });
  await pipeline.hasBegun('2025-07-10.crm');
  pipeline.mend('2025-07-01.crm');
  await pipeline.resolve('2025-07-01', { action: 'retry' });
  await pipeline.day('2025-07-01').result();
  pipeline.release('2025-07-10.crm');
  await pipeline.backfill().result();
  const runs: { runId: string; startTime: Date }[] = [];
  const { workflow } = commands.dayfill.temporal;
  for await (const run of workflow.list({ query: 'WorkflowId = "backfill/continued"' })) runs.push(run);
  runs.sort((a, b) => a.startTime.getTime() - b.startTime.getTime());
  expect(runs.length).toBeGreaterThan(1);
  for (const [index, { runId }] of runs.entries()) {
    await saveRun(`continued-backfill-${index + 1}`, workflow.getHandle('backfill/continued', runId));
  }
});

test('nights of catch-up, the backfill that they add to, and their digest', async () => {
  const pipeline = commands.pipeline('nights', {
    partition: { every: '1d', start: D16 },
    notify: [{ webhook: 'NEVER_SET_HOOK' }],
  });
  const night = (day: string) =>
    commands.dayfill.temporal.workflow.start('catchUp', {
      workflowId: `catch-up/nights-${day}`,
      taskQueue: TASK_QUEUE,
      args: [{ pipeline: 'nights', scheduledAt: `${day}T02:00:00Z` }],
    });
  pipeline.hold(`${D16}.crm`);
  await save('night', await night(D17));
  await pipeline.hasBegun(`${D16}.crm`);
  await save('night-that-adds', await night(D18));
  await pipeline.until('the second day', ({ pending }) => pending.length === 1);
  await save('digest', commands.dayfill.temporal.workflow.getHandle(`digest/nights/${D18}`));
  pipeline.release(`${D16}.crm`);
  await save('backfill-of-catch-up', pipeline.backfill());
  await save('quiet-night', await night(D18));
});

test('a day that crossed limits: one that it warns of, one that stops it, and its cleanup', async () => {
  const pipeline = commands.pipeline('limited', { notify: [{ webhook: 'NEVER_SET_HOOK' }] });
  const runtime = (more: object) => ({ limits: { runtime: '1s', ...more } });
  const steps = (limits: object) => [
    pipeline.step('crm', runtime({ on_limit: 'warn' })),
    pipeline.step('identity', { ...limits, cleanup: [pipeline.work('cleanup')] }),
  ];
  pipeline.write(pipeline.text({ steps: steps(runtime({})) }));
  for (const step of ['crm', 'identity']) pipeline.hold(`${D16}.${step}`);
  await pipeline.startDay(D16);
  await until('the warning', async () => {
    const [crm] = (await pipeline.state(D16)).steps;
    return crm!.warnings.length > 0;
  });
  pipeline.release(`${D16}.crm`);
  const failure = await pipeline.waiting(D16);
  pipeline.release(`${D16}.identity`);
  pipeline.write(pipeline.text({ steps: steps({ limits: { runtime: '1h' } }) }));
  await pipeline.resolve(D16, { action: 'retry', failure: failure.id });
  await save('day-that-crossed-limits', pipeline.day(D16));
});

test('a backfill whose budget ran out', async () => {
  const bigquery = bigQueryClients(commands.stack.config())(PROJECT);
  await bigquery.createDataset('budget');
  await bigquery.query('create table budget.events as select 1 as amount');
  const pipeline = commands.pipeline('budget', {
    vars: { project_id: PROJECT },
    steps: [{ id: 'crm', uses: 'bigquery/query', with: { file: 'fixes/sum.sql' } }],
    budget_usd: 0.00005,
    notify: [{ webhook: 'NEVER_SET_HOOK' }],
  });
  mkdirSync(path.join(pipeline.dir, 'fixes'));
  writeFileSync(path.join(pipeline.dir, 'fixes/sum.sql'), 'select sum(amount) as n from budget.events');
  const handle = await pipeline.start(THREE_DAYS);
  await pipeline.until('the budget to run out', ({ status }) => status === 'paused');
  await handle.signal('resume');
  await pipeline.until('it to run out again', ({ status, ended }) => status === 'paused' && ended[D17] !== undefined);
  await handle.signal('resume', { budgetUsd: 1 });
  await save('backfill-whose-budget-ran-out', handle);
});
