import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import vm from 'node:vm';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { stringify } from 'yaml';
import { type Dayfill, openDayfill } from '../../src/client/open.js';
import { startBackfill } from '../../src/client/start.js';
import { progressQuery } from '../../src/contracts/messages.js';
import { type Gate, startGate } from '../stack/fixtures/gate.js';
import { until } from '../stack/fixtures/processes.js';
import { startTestStack, type TestStack } from '../support/stack.js';

/** What a good day of two no-op steps may take: counts, since clocks differ. */
const EVENTS_OF_A_DAY = 19;
const BYTES_OF_A_DAY = 7500;
const EVENTS_IN_THE_BACKFILL = 9;
const DAYS = 60;

let pipelines: string;
let stack: TestStack;
let gate: Gate;
let dayfill: Dayfill;
beforeAll(async () => {
  pipelines = mkdtempSync(path.join(tmpdir(), 'dayfill-pipelines-'));
  mkdirSync(path.join(pipelines, 'noop'));
  const step = (id: string) => ({ id, uses: 'command', with: { run: ['sh', '-c', `echo $$ >> ${pipelines}/pids`] } });
  const partition = { every: '1d', start: '2025-01-01' };
  writeFileSync(
    path.join(pipelines, 'noop/pipeline.yaml'),
    stringify({ pipeline: 'noop', partition, steps: [step('first'), step('second')] }),
  );
  stack = await startTestStack({ services: ['temporal', 'bigquery'], env: { DAYFILL_PIPELINES: pipelines } });
  gate = await startGate(stack.config().bigqueryEndpoint!);
  stack.env.DAYFILL_BIGQUERY_ENDPOINT = gate.address;
  await stack.up(['worker']);
  dayfill = await openDayfill(stack.config());
});
afterAll(async () => {
  await dayfill?.close();
  await stack?.stop();
  await gate?.stop();
  rmSync(pipelines, { recursive: true, force: true });
});

const day = (n: number) => new Date(Date.UTC(2025, 0, 1 + n)).toISOString().slice(0, 10);
const eventsOf = async (handle: WorkflowHandle) => (await handle.fetchHistory()).events!;

test('a good day is few events, few bytes, few requests and no process beside its steps', async () => {
  const handle = await startBackfill(dayfill, { pipeline: 'noop', from: day(0), to: day(DAYS - 1) });
  expect(await handle.result()).toMatchObject({ counts: { succeeded: DAYS } });

  const history = await dayfill.temporal.workflow.getHandle(`noop/${day(7)}`).fetchHistory();
  expect(history.events!.length).toBeLessThanOrEqual(EVENTS_OF_A_DAY);
  const bytes = temporal.api.history.v1.History.encode(history as temporal.api.history.v1.IHistory).finish().length;
  expect(bytes).toBeLessThan(BYTES_OF_A_DAY);

  const events = await eventsOf(handle);
  const writes = events.filter(
    ({ activityTaskScheduledEventAttributes: scheduled }) => scheduled?.activityType?.name === 'recordLedger',
  );
  // A write, with its workflow task and its timer, is eleven events, every other second.
  expect(events.length).toBeLessThanOrEqual(EVENTS_IN_THE_BACKFILL * DAYS + 11 * (writes.length + 1) + 20);
  expect(writes.length).toBeLessThan(DAYS / 2);

  expect(await dayfill.ledger.rows('noop')).toHaveLength(DAYS);
  const inserted = gate.requests.filter((request) => request.endsWith('/insertAll'));
  expect(inserted).toHaveLength(writes.length);
  // Made once: a dataset, a table, a view; read once, for the plan.
  const others = gate.requests.filter((request) => !request.endsWith('/insertAll'));
  expect(others.length).toBeLessThan(12);

  const pids = readFileSync(path.join(pipelines, 'pids'), 'utf8').trim().split('\n');
  expect(new Set(pids).size).toBe(2 * DAYS);
});

test('what the ledger does not take is kept, and asked for again, until it does; then in one request', async () => {
  gate.close();
  const before = gate.requests.length;
  const handle = await startBackfill(dayfill, { pipeline: 'noop', from: day(100), to: day(119), force: true });
  // The plan is read from the ledger.
  await until('the plan waits', () => gate.waiting > 0);
  gate.open();
  await until('days have ended', async () => (await handle.query(progressQuery)).endedMs > 0);
  gate.close();
  await until('every day has ended', async () => Object.keys((await handle.query(progressQuery)).ended).length === 20);
  expect((await handle.describe()).status.name).toBe('RUNNING');
  gate.open();
  await handle.result();
  expect(await dayfill.ledger.rows('noop', day(100), day(119))).toHaveLength(20);
  const inserted = gate.requests.slice(before).filter((request) => request.endsWith('/insertAll'));
  expect(inserted.length).toBeLessThan(10);
});

test('a good day evaluates no schema: workflows evaluate their modules anew', () => {
  const cache: Record<string, unknown> = {};
  const context = vm.createContext({ __webpack_module_cache__: cache, console, TextEncoder, TextDecoder, URL });
  vm.runInContext(readFileSync('dist/workflow-bundle.js', 'utf8'), context);
  vm.runInContext('__TEMPORAL__.importWorkflows()', context);
  const evaluated = Object.keys(cache);
  expect(evaluated.some((module) => module.endsWith('/workflows/partition.js'))).toBe(true);
  expect(evaluated.filter((module) => module.includes('/zod/'))).toEqual([]);
});
