import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { addToBackfill, pauseBackfill, resumeBackfill, startBackfill } from '../../src/client/start.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { until } from '../stack/fixtures/processes.js';
import {
  type CommandPipeline,
  type CommandStack,
  currentDetails,
  startCommandStack,
} from '../support/command-pipelines.js';
import { type EarlyServer, startEarlyServer } from '../support/early-server.js';

/** After so many events the server suggests to continue as new: a few days. */
const SUGGEST_AFTER = 40;

let server: EarlyServer;
let commands: CommandStack;
beforeAll(async () => {
  server = await startEarlyServer(SUGGEST_AFTER);
  // The least that a query of a table is billed for costs a dollar.
  commands = await startCommandStack({
    temporalAddress: server.address,
    env: { DAYFILL_PRICE_PER_TIB_USD: '104857.6' },
  });
});
afterAll(async () => {
  await commands?.stop();
  await server?.stop();
});

const DAYS = Array.from({ length: 12 }, (_, index) => `2025-07-${String(index + 11)}`);
const [FIRST, LAST] = [DAYS[0]!, DAYS.at(-1)!];
const crmOf = (days: string[]) => days.map((day) => `${day}.crm`);
const crmRuns = (pipeline: CommandPipeline) => pipeline.began().filter((step) => step.endsWith('.crm'));

/** Ids of the runs of the pipeline's backfill, in no order. */
async function runsOf(pipeline: CommandPipeline): Promise<string[]> {
  const runs: string[] = [];
  const query = `WorkflowId = "backfill/${pipeline.name}"`;
  for await (const { runId } of commands.dayfill.temporal.workflow.list({ query })) runs.push(runId);
  return runs;
}

test('a long backfill goes on in new runs, each day once and in order', async () => {
  const pipeline = commands.pipeline('long');
  const handle = await startBackfill(commands.dayfill, {
    pipeline: 'long',
    from: FIRST,
    to: LAST,
    exclude: [DAYS[3]!],
  });
  expect(await handle.result()).toEqual({ pipeline: 'long', planSkipped: 1, counts: { succeeded: 11 } });
  const ran = DAYS.filter((day) => day !== DAYS[3]);
  expect(crmRuns(pipeline)).toEqual(crmOf(ran));
  expect(await pipeline.recorded()).toEqual(ran.map((day) => `${day} succeeded`));
  expect((await runsOf(pipeline)).length).toBeGreaterThan(1);
  const last = await pipeline.backfill().describe();
  expect(last.typedSearchAttributes.getAll().map(({ value }) => value)).toEqual(
    expect.arrayContaining(['long', 'succeeded']),
  );
  expect(await currentDetails(pipeline.backfill())).toContain('**11 of 11** partitions done');
  const history = await pipeline.backfill().fetchHistory();
  expect(history.events!.length).toBeLessThan(2 * SUGGEST_AFTER);
});

test('a pause, an addition and the order stay across runs', async () => {
  const pipeline = commands.pipeline('long-paused');
  const held = DAYS[3]!;
  pipeline.hold(`${held}.crm`);
  await pipeline.start({ partitions: DAYS.slice(1) });
  const { runId: before } = await pipeline.backfill().describe();
  await pipeline.hasBegun(`${held}.crm`);
  await addToBackfill(commands.dayfill, 'long-paused', { partitions: [FIRST, '2025-08-01'] });
  await pauseBackfill(commands.dayfill, 'long-paused');
  // Fills the history of this run, so that it ends as soon as the day has.
  for (let n = 0; n < SUGGEST_AFTER / 2; n += 1) await pipeline.backfill().signal('pause');
  pipeline.release(`${held}.crm`);

  const progress = await pipeline.until('the pause in a new run', ({ status, live, ended }) => {
    return status === 'paused' && Object.keys(live).length === 0 && ended[held] === 'succeeded';
  });
  await until('a new run', async () => (await pipeline.backfill().describe()).runId !== before);
  expect(progress.pending).toEqual([FIRST, ...DAYS.slice(4), '2025-08-01']);
  expect(progress.total).toBe(13);
  expect(Object.keys(progress.ended)).toEqual(DAYS.slice(1, 4));

  const receipt = await addToBackfill(commands.dayfill, 'long-paused', { partitions: [held, FIRST, '2025-08-02'] });
  expect(receipt).toEqual({
    added: ['2025-08-02'],
    skipped: [
      { partition: FIRST, action: 'skip', reason: 'already in this backfill' },
      { partition: held, action: 'skip', reason: 'already succeeded' },
    ],
  });
  await resumeBackfill(commands.dayfill, 'long-paused');
  expect(await pipeline.backfill().result()).toMatchObject({ counts: { succeeded: 14 } });
  expect(crmRuns(pipeline)).toEqual(crmOf([...DAYS.slice(1, 4), FIRST, ...DAYS.slice(4), '2025-08-01', '2025-08-02']));
});

test('a parked day is answered in a later run than the one that started it', async () => {
  const pipeline = commands.pipeline('long-parked', { on_failure: 'park', parallel_safe: true });
  pipeline.break(`${FIRST}.crm`);
  pipeline.hold(`${LAST}.crm`);
  const handle = await pipeline.start({ from: FIRST, to: LAST });
  await pipeline.hasBegun(`${LAST}.crm`);
  expect((await runsOf(pipeline)).length).toBeGreaterThan(1);
  expect(await pipeline.progress()).toMatchObject({ total: 12, live: { [FIRST]: { status: 'waiting', step: 'crm' } } });

  pipeline.mend(`${FIRST}.crm`);
  await pipeline.resolve(FIRST, { action: 'retry' });
  await pipeline.until('the parked day to end', ({ ended }) => ended[FIRST] === 'fixed');
  pipeline.release(`${LAST}.crm`);
  expect(await handle.result()).toEqual({
    pipeline: 'long-parked',
    planSkipped: 0,
    counts: { fixed: 1, succeeded: 11 },
  });
  expect((await pipeline.recorded()).filter((line) => line.startsWith(FIRST))).toEqual([
    `${FIRST} waiting`,
    `${FIRST} fixed`,
  ]);
});

test('what a backfill has spent of its budget stays across runs', async () => {
  const bigquery = bigQueryClients(commands.stack.config())('budget-test');
  await bigquery.createDataset('budget');
  await bigquery.query('create table budget.events as select 1 as amount');
  const pipeline = commands.pipeline('budget', { vars: { project_id: 'budget-test' }, budget_usd: 7.5 });
  const sum = { id: 'sum', uses: 'bigquery/query', with: { file: 'fixes/sum.sql' } };
  mkdirSync(path.join(pipeline.dir, 'fixes'));
  writeFileSync(path.join(pipeline.dir, 'fixes/sum.sql'), 'select sum(amount) as n from budget.events');
  pipeline.write(pipeline.text({ steps: [sum, pipeline.step('crm'), pipeline.step('identity')] }));
  await pipeline.start({ from: FIRST, to: LAST });
  const out = await pipeline.until('the budget to run out', ({ status }) => status === 'paused');
  expect([out.spentUsd, Object.keys(out.ended).length]).toEqual([8, 8]);
  expect((await runsOf(pipeline)).length).toBeGreaterThan(1);
  await resumeBackfill(commands.dayfill, 'budget');
  expect(await pipeline.backfill().result()).toMatchObject({ counts: { succeeded: 12 } });
  expect((await pipeline.progress()).spentUsd).toBe(12);
});
