import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  type WorkflowFailedError,
  type WorkflowHandle,
} from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode } from '@temporalio/worker';
import type { StepFailure } from '../../src/contracts/failure.js';
import type { StepHeartbeat, StepRequest } from '../../src/contracts/step.js';
import type { oneStep } from './fixtures/one-step-workflow.js';
import { ageMs, isRunning, parentOf, until } from './fixtures/processes.js';
import { notedRuns } from './fixtures/ran-step.js';
import { temporalBinary } from './fixtures/temporal-binary.js';

const WORKER = path.resolve('test/stack/fixtures/step-worker.mjs');
const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };

let temporal: TestWorkflowEnvironment;
let bundleDir: string;
let stateDir: string;
/** Its own for each test: a killed worker is remembered by its queue for a while. */
let taskQueue: string;
const workers: ChildProcess[] = [];

beforeAll(async () => {
  temporal = await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'existing-path', path: temporalBinary() } },
  });
  const { code } = await bundleWorkflowCode({
    workflowsPath: path.resolve('test/stack/fixtures/one-step-workflow.ts'),
    logger: quiet,
  });
  bundleDir = mkdtempSync(path.join(tmpdir(), 'dayfill-bundle-'));
  writeFileSync(path.join(bundleDir, 'workflows.js'), code);
});
afterAll(async () => {
  await temporal?.teardown();
  rmSync(bundleDir, { recursive: true, force: true });
});
beforeEach(() => {
  stateDir = mkdtempSync(path.join(tmpdir(), 'dayfill-steps-'));
  taskQueue = path.basename(stateDir);
  mkdirSync(path.join(stateDir, 'talbots'));
  writeFileSync(path.join(stateDir, 'attempts'), '');
});
afterEach(async () => {
  for (const worker of workers.splice(0)) {
    worker.kill('SIGKILL');
    if (isRunning(worker.pid!)) await once(worker, 'exit');
  }
  rmSync(stateDir, { recursive: true });
});

function startWorker(): ChildProcess {
  const args = [WORKER, temporal.address, stateDir, path.join(bundleDir, 'workflows.js'), taskQueue];
  const worker = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'ignore'] });
  workers.push(worker);
  return worker;
}

function startStep(run: string[], more: Partial<StepRequest> = {}): Promise<WorkflowHandle<typeof oneStep>> {
  const request: StepRequest = {
    key: 'talbots/2025-07-16/crm',
    pipeline: 'talbots',
    partition: { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' },
    step: 'crm',
    project: 'talbots-og-map-dev',
    with: { run },
    timeoutMs: 60_000,
    retry: { attempts: 3, initialMs: 100 },
    ...more,
  };
  return temporal.client.workflow.start<typeof oneStep>('oneStep', {
    args: [request],
    taskQueue,
    workflowId: taskQueue,
  });
}

interface Attempt {
  behaviour: string;
  at: number;
  heard: StepHeartbeat;
}
function attempts(): Attempt[] {
  const lines = readFileSync(path.join(stateDir, 'attempts'), 'utf8').trim().split('\n').filter(Boolean);
  return lines.map((line) => {
    const [, behaviour, at, heard] = /^(\S+) (\S+) (.*)$/.exec(line)!;
    return { behaviour: behaviour!, at: Number(at), heard: JSON.parse(heard!) };
  });
}

/** Pid of the step's process, as it is noted. */
const runningPid = () => notedRuns(stateDir, '')[0]?.pid ?? null;

async function failureOf(handle: WorkflowHandle<typeof oneStep>): Promise<ApplicationFailure | CancelledFailure> {
  const error = await handle.result().then(
    () => null,
    (reason) => reason,
  );
  const cause = (error as WorkflowFailedError).cause;
  return (cause instanceof ActivityFailure ? cause.cause : cause) as ApplicationFailure | CancelledFailure;
}

function classified(failure: unknown): StepFailure {
  expect(failure).toBeInstanceOf(ApplicationFailure);
  return (failure as ApplicationFailure).details![0] as StepFailure;
}

test('a transient failure is tried again, later each time, until the step has had its tries', async () => {
  startWorker();
  const failure = await failureOf(await startStep(['script', 'transient', 'transient', 'transient', 'ok']));
  expect(failure).toMatchObject({ type: 'transient', nonRetryable: true });
  expect(classified(failure)).toMatchObject({
    kind: 'transient',
    message: 'try again, <email>',
    tests: [],
    exitCode: null,
  });
  const [first, second, third, ...more] = attempts();
  expect(more).toEqual([]);
  expect(second!.at - first!.at).toBeGreaterThanOrEqual(100);
  expect(third!.at - second!.at).toBeGreaterThanOrEqual(200);
  expect(third!.heard.transientFailures).toBe(2);
});

test('a transient failure that passes is forgotten', async () => {
  startWorker();
  const result = await (await startStep(['script', 'transient', 'transient', 'ok'])).result();
  expect(result.counts).toEqual({ attempt: 3 });
});

test('a killed worker is no transient failure of the step: the count goes on where it was', async () => {
  const first = startWorker();
  const handle = await startStep(['script', 'transient', 'hang', 'transient', 'ok']);
  const pid = await until('the hanging process', () => (attempts().length === 2 ? runningPid() : null));
  await until('a heartbeat with its pid', async () => {
    const [activity] = (await handle.describe()).raw.pendingActivities ?? [];
    const data = activity?.heartbeatDetails?.payloads?.[0]?.data;
    return data && JSON.parse(Buffer.from(data).toString()).pid === pid;
  });
  first.kill('SIGKILL');
  await until('its death', () => !isRunning(pid));
  startWorker();
  expect((await handle.result()).counts).toEqual({ attempt: 4 });
  expect(attempts().map(({ heard }) => heard.transientFailures ?? 0)).toEqual([0, 1, 1, 2]);
});

test('a killed launcher is a transient failure of the step, and the next attempt runs', async () => {
  const worker = startWorker();
  const handle = await startStep(['script', 'hang', 'ok']);
  const pid = await until('the hanging process', runningPid);
  const launcher = parentOf(pid);
  expect(parentOf(launcher)).toBe(worker.pid);
  await until('a launcher that has lived long enough to be replaced', () => ageMs(launcher) > 1100);
  process.kill(launcher, 'SIGKILL');
  expect((await handle.result()).counts).toEqual({ attempt: 2 });
  expect(isRunning(pid)).toBe(false);
});

test('a worker that starts gives back what a killed one had under way, and what that said last stays', async () => {
  const first = startWorker();
  const handle = await startStep(['script', 'hang', 'hang']);
  const pid = await until('the hanging process', runningPid);
  const said = async () => {
    const [activity] = (await handle.describe()).raw.pendingActivities ?? [];
    const data = activity?.heartbeatDetails?.payloads?.[0]?.data;
    return data && JSON.parse(Buffer.from(data).toString()).pid === pid;
  };
  await until('a heartbeat with its pid', said);
  first.kill('SIGKILL');
  await until('its death', () => !isRunning(pid));
  startWorker();
  await until('the next attempt', () => attempts().length === 2);
  expect(attempts()[1]!.heard).toEqual({ pid });
  const [activity] = (await handle.describe()).raw.pendingActivities!;
  expect(activity!.lastFailure).toMatchObject({ applicationFailureInfo: { type: 'WorkerLost' } });
  await handle.cancel();
  expect(await failureOf(handle)).toBeInstanceOf(CancelledFailure);
});

test('a worker that starts leaves what a living one has under way alone', async () => {
  startWorker();
  const handle = await startStep(['script', 'hang', 'hang']);
  const pid = await until('the hanging process', runningPid);
  startWorker();
  await until('the other worker polls', async () => {
    const { pollers } = await temporal.client.workflowService.describeTaskQueue({
      namespace: 'default',
      taskQueue: { name: taskQueue },
      taskQueueType: 2, // TASK_QUEUE_TYPE_ACTIVITY
    });
    return new Set(pollers?.map(({ identity }) => identity)).size === 2;
  });
  expect(runningPid()).toBe(pid);
  expect((await handle.describe()).raw.pendingActivities).toMatchObject([{ attempt: 1, lastFailure: null }]);
  await handle.cancel();
  expect(await failureOf(handle)).toBeInstanceOf(CancelledFailure);
});

test('any other failure is final, and a fault of dayfill says so', async () => {
  startWorker();
  const failure = await failureOf(await startStep(['script', 'crash', 'ok']));
  expect(failure).toMatchObject({ type: 'internal', nonRetryable: true });
  expect(classified(failure)).toMatchObject({ kind: 'internal', message: 'a fault in dayfill' });
  expect(attempts()).toHaveLength(1);
});

test('a worker that is told to stop hands the step on, with its process stopped', async () => {
  const first = startWorker();
  const handle = await startStep(['script', 'hang', 'ok']);
  const pid = await until('the hanging process', runningPid);
  first.kill('SIGTERM');
  await once(first, 'exit');
  expect(isRunning(pid)).toBe(false);
  startWorker();
  const result = await handle.result();
  expect(result.counts).toEqual({ attempt: 2 });
  expect(attempts()[1]!.heard.transientFailures).toBeUndefined();
});

test('a cancelled step is over when its process is gone and its jobs are cancelled', async () => {
  startWorker();
  const handle = await startStep(['bash', '-c', 'sleep 1000 & wait']);
  const pid = await until('the process', runningPid);
  await handle.cancel();
  expect(await failureOf(handle)).toBeInstanceOf(CancelledFailure);
  expect(isRunning(pid)).toBe(false);
  const cancelled = JSON.parse(readFileSync(path.join(stateDir, 'cancelled-jobs'), 'utf8'));
  expect(cancelled).toMatchObject({ project: 'talbots-og-map-dev', labels: { dayfill_partition: '2025-07-16' } });
});

test('a step of a lost worker stops what that worker left, before it runs again', async () => {
  const first = startWorker();
  const handle = await startStep(['script', 'hang', 'hang']);
  const pid = await until('the hanging process', runningPid);
  first.kill('SIGKILL');
  startWorker();
  await until('the process of the next attempt', () => {
    const next = attempts().length === 2 ? runningPid() : null;
    return next !== null && next !== pid;
  });
  expect(isRunning(pid)).toBe(false);
  expect(existsSync(path.join(stateDir, 'cancelled-jobs'))).toBe(true);
  await handle.cancel();
  expect(await failureOf(handle)).toBeInstanceOf(CancelledFailure);
});
