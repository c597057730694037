import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ActivityFailure, ApplicationFailure, type WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { CancelledFailure } from '@temporalio/common';
import { type MockActivityEnvironment, TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode } from '@temporalio/worker';
import { pino } from 'pino';
import { dagsterJob } from '../../src/activities/dagster-job.js';
import type { StepDeps } from '../../src/activities/step-activity.js';
import { examine } from '../../src/client/doctor.js';
import { loadConfig } from '../../src/config.js';
import type { StepFailure } from '../../src/contracts/failure.js';
import type { StepHeartbeat, StepRequest } from '../../src/contracts/step.js';
import { createRunner } from '../../src/runners/create-runner.js';
import {
  type DagsterProxy,
  startDagster,
  startDagsterProxy,
  type TestDeployment,
} from './fixtures/dagster-deployment.js';
import type { oneStep } from './fixtures/one-step-workflow.js';
import { isRunning, until } from './fixtures/processes.js';
import { NO_PROTECTED_TABLES } from './fixtures/protected-tables.js';
import { type RanStep, ranStep } from './fixtures/ran-step.js';
import { temporalBinary } from './fixtures/temporal-binary.js';

const { venv } = loadConfig();

let directory: string;
let deployment: TestDeployment;
let deps: StepDeps;
const cancelledJobs: Record<string, string>[] = [];

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-graphql-'));
  const stateDir = path.join(directory, 'state');
  const pipelinesDir = path.join(directory, 'pipelines');
  mkdirSync(path.join(pipelinesDir, 'probe'), { recursive: true });
  const logger = pino({ level: 'silent' });
  deps = {
    config: loadConfig({ DAYFILL_STATE_DIR: stateDir, DAYFILL_PIPELINES: pipelinesDir, DAYFILL_VENV: venv }, directory),
    runner: createRunner({ stateDir, logger }),
    logger,
    clients: () => {
      throw new Error('no warehouse is needed here');
    },
    warn: async () => {},
    cancelLabelledJobs: async (_, labels) => void cancelledJobs.push(labels),
    protectedTables: NO_PROTECTED_TABLES,
  };
  deployment = await startDagster(venv, path.join(directory, 'dagster'));
});
afterAll(async () => {
  await deps?.runner.close();
  await deployment?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** A step of its own for each call, so that its runs are known by its key. */
let steps = 0;
function request(given: StepRequest['with'], more: Partial<StepRequest> = {}): StepRequest {
  const step = `step${steps++}`;
  return {
    key: `probe/2025-07-16/${step}`,
    pipeline: 'probe',
    partition: { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' },
    step,
    project: null,
    with: { mode: 'graphql', url: deployment.url, location: 'probe', ...given },
    timeoutMs: 120_000,
    retry: { attempts: 1, initialMs: 10 },
    ...more,
  };
}

type Ran = RanStep & { key: string };
async function ran(
  given: StepRequest['with'],
  more: Partial<StepRequest> = {},
  during?: (environment: MockActivityEnvironment, key: string) => Promise<void>,
): Promise<Ran> {
  const asked = request(given, more);
  const outcome = await ranStep(deps, dagsterJob, asked, during && ((environment) => during(environment, asked.key)));
  return { ...outcome, key: asked.key };
}
const inProcess = (job: string) =>
  ranStep(deps, dagsterJob, {
    ...request({}),
    with: { project: path.resolve('test/stack/fixtures/dagster_probe'), module: 'dagster_probe', job, runner: 'cli' },
  });

const go = (name: string) => path.join(directory, `go-${name}`);
/** Waits for a heartbeat. */
function heard(environment: MockActivityEnvironment, what: string, fits: (said: StepHeartbeat) => unknown) {
  let last: StepHeartbeat = {};
  environment.on('heartbeat', (details) => {
    last = details;
  });
  return until(what, () => (fits(last) ? last : null), 60_000);
}
const isHeld = (said: StepHeartbeat) => said.current === 'hold';

describe('a run of a deployment', () => {
  test.each(['load_job', 'load_partition_job'])('%s gives what a process of dayfill gives', async (job) => {
    const [theirs, ours] = [await ran({ job }), await inProcess(job)];
    expect(theirs.failure).toBeNull();
    expect({ ...theirs.result, log: null, jobIds: null }).toEqual({ ...ours.result, log: null, jobIds: null });
    const [run, ...more] = await deployment.runs(theirs.key);
    expect(more).toEqual([]);
    expect(theirs.result!.jobIds).toEqual([run!.runId]);
    expect(run).toMatchObject({ status: 'SUCCESS', tags: { 'dagster/partition': '2025-07-16' } });
    expect(JSON.parse(run!.tags['dayfill/labels']!)).toMatchObject({ dayfill_pipeline: 'probe' });
    expect(theirs.heartbeats.at(-1)).toMatchObject({ runId: run!.runId });
    expect(theirs.log).toContain(`# run ${run!.runId}: ${deployment.url}/runs/${run!.runId}`);
    expect(theirs.log).toMatch(/\d\d:\d\d:\d\d {2}load\w*: Finished execution of step/);
  });

  test.each(['fail_tests_job', 'fail_sql_job', 'fail_network_job'])(
    '%s fails as in a process of dayfill',
    async (job) => {
      const [theirs, ours] = [await ran({ job }), await inProcess(job)];
      const plain = (failure: StepFailure | null) => ({ ...failure, log: null, tail: null, exitCode: null });
      expect(theirs.failure).not.toBeNull();
      expect(plain(theirs.failure)).toEqual(plain(ours.failure));
    },
  );

  test('a process that dies is told with what Dagster says of it', async () => {
    expect((await ran({ job: 'die_job' })).failure).toMatchObject({
      kind: 'step_error',
      message: expect.stringMatching(/marked as failed.*exited with code 7/),
    });
  });

  test('its place in the queue, and its steps, are told as progress', async () => {
    const first = await deployment.launch('hold_job', { until: go('lane'), lane: 'one' });
    const { result } = await ran(
      { job: 'hold_job', tags: { until: go('lane'), lane: 'one' } },
      {},
      async (environment) => {
        await heard(environment, 'the queue', ({ current }) => current === "in Dagster's queue");
        writeFileSync(go('lane'), '');
      },
    );
    expect(result).not.toBeNull();
    await deployment.terminate(first);
  });
});

test('doctor tells the version of a deployment, or why it is not known', async () => {
  const file = (name: string, url: string) => {
    mkdirSync(path.join(deps.config.pipelinesDir, name), { recursive: true });
    const step = `{ id: load, uses: dagster/job, with: { mode: graphql, url: "\${vars.url}", job: load_job } }`;
    const text = `pipeline: ${name}\npartition: { every: 1d, start: 2025-07-01 }\nvars: { url: "${url}" }\nsteps: [${step}]\n`;
    writeFileSync(path.join(deps.config.pipelinesDir, name, 'pipeline.yaml'), text);
  };
  const version = /^dagster==(\S+)$/m.exec(readFileSync('warehouse/requirements.in', 'utf8'))![1];
  file('there', deployment.url);
  file('gone', 'http://127.0.0.1:4');
  const nowhere = { bigqueryEndpoint: 'http://127.0.0.1:4', storageEndpoint: 'http://127.0.0.1:4' };
  const checks = await examine({ ...deps.config, ...nowhere, stackTemporal: '127.0.0.1:4' });
  expect(checks).toEqual(
    expect.arrayContaining([
      { name: 'pipeline there', ok: true, message: `1 step, Dagster ${version} at ${deployment.url}` },
      {
        name: 'pipeline gone',
        ok: false,
        message: 'Dagster at http://127.0.0.1:4 cannot be reached (ECONNREFUSED).',
      },
    ]),
  );
});

describe('what keeps a run from being launched', () => {
  test.each([
    [
      'an unknown job',
      { job: 'no_such_job' },
      'missing_executable',
      /has no job no_such_job in the code location probe; it has die_job, /,
    ],
    [
      'an unknown location',
      { job: 'load_job', location: 'nowhere' },
      'missing_executable',
      /no job load_job in the code location nowhere; it has no job/,
    ],
    [
      'a job of two locations',
      { job: 'load_job', location: undefined },
      'missing_executable',
      /several jobs load_job: name the location.*__repository__ of other/,
    ],
    [
      'a partition that the job has not',
      { job: 'load_partition_job', day: '2024-01-01' },
      'step_error',
      /has no partition 2024-01-01 in Dagster; it has 2025-07-01 to/,
    ],
    [
      'nobody there',
      { job: 'load_job', url: 'http://127.0.0.1:4' },
      'transient',
      /Dagster at http:\/\/127.0.0.1:4 cannot be reached \(ECONNREFUSED\)\.$/,
    ],
    [
      'another server',
      { job: 'load_job', path: '/nowhere' },
      'step_error',
      /nowhere is no dagster-webserver: it answered 40\d/,
    ],
  ])(
    '%s',
    async (_, {
      day = '2025-07-16',
      path: under = '',
      ...given
    }: Record<string, string | undefined>, kind, message) => {
      const url = given.url ?? deployment.url + under;
      const asked = JSON.parse(JSON.stringify({ location: 'probe', ...given, url }));
      if ('location' in given && given.location === undefined) delete asked.location;
      const { failure, key } = await ran(
        {},
        { with: { mode: 'graphql', ...asked }, partition: { key: day, start: day, end: day } },
      );
      expect(failure).toMatchObject({ kind, message: expect.stringMatching(message) });
      expect(await deployment.runs(key)).toEqual([]);
    },
  );

  test('a code location that is gone for a moment', async () => {
    await deployment.killCode();
    expect((await ran({ job: 'load_job' })).failure).toMatchObject({
      kind: 'transient',
      message: expect.stringContaining('Could not reach user code server'),
    });
    await deployment.killWebserver();
    await deployment.startWebserver();
    expect((await ran({ job: 'load_job' })).failure).toMatchObject({
      kind: 'transient',
      message: expect.stringContaining('has no job load_job while its code location probe is not loaded: '),
    });
    await deployment.startCode();
    await deployment.killWebserver();
    await deployment.startWebserver();
    expect((await ran({ job: 'load_job' })).failure).toBeNull();
  });

  test('a secret goes along in its header, and stands nowhere', async () => {
    const proxy = await startDagsterProxy(deployment.url);
    proxy.wanted = ['dagster-cloud-api-token', 'hidden-4711'];
    const headers = { 'Dagster-Cloud-Api-Token': 'PROBE_TOKEN' };
    const given = { job: 'load_job', url: proxy.url, headers };
    try {
      const unset = await ran(given);
      expect(unset.failure).toMatchObject({ message: expect.stringContaining('PROBE_TOKEN, for the header') });
      process.env.PROBE_TOKEN = 'wrong-4711';
      const wrong = await ran(given);
      expect(wrong.failure).toMatchObject({
        kind: 'step_error',
        message: expect.stringContaining('let nobody in (401)'),
      });
      process.env.PROBE_TOKEN = 'hidden-4711';
      const right = await ran(given);
      expect(right.result).not.toBeNull();
      expect(JSON.stringify([wrong, right, await deployment.runs(right.key)])).not.toContain('4711');
    } finally {
      delete process.env.PROBE_TOKEN;
      await proxy.stop();
    }
  });
});

describe('a run that does not end by itself', () => {
  const held = (
    during: (environment: MockActivityEnvironment, key: string) => Promise<void>,
    more: Partial<StepRequest> = {},
    tags: Record<string, string> = {},
  ) => ran({ job: 'hold_job', tags: { until: go('never'), ...tags } }, more, during);

  test('is ended when the step is cancelled, with its jobs', async () => {
    const { error, key } = await held(async (environment) => {
      await heard(environment, 'the step', isHeld);
      environment.cancel('CANCELLED');
    });
    expect(error).toBeInstanceOf(CancelledFailure);
    expect(await deployment.runs(key)).toMatchObject([{ status: 'CANCELED' }]);
    expect(cancelledJobs.pop()).toMatchObject({ dayfill_step: key.split('/')[2] });
  });

  test('is ended while it still waits in the queue', async () => {
    const first = await deployment.launch('hold_job', { until: go('queue'), lane: 'two' });
    const { error, key } = await held(
      async (environment) => {
        await heard(environment, 'the queue', ({ current }) => current === "in Dagster's queue");
        environment.cancel('CANCELLED');
      },
      {},
      { lane: 'two' },
    );
    expect(error).toBeInstanceOf(CancelledFailure);
    expect(await deployment.runs(key)).toMatchObject([{ status: 'CANCELED' }]);
    await deployment.terminate(first);
  });

  const limits = {
    ...{ runtimeMs: 5000, bytesBilled: null, slotMs: null, costUsd: null, tempTables: [] },
    onLimit: 'wait' as const,
  };
  test.each([
    ['timeout', { timeoutMs: 5000 }],
    ['limit', { limits }],
  ])('is ended at the %s of the step', async (kind, more) => {
    const { failure, key } = await held(async () => {}, more);
    expect(failure).toMatchObject({ kind, message: expect.stringMatching(/\b5 s/) });
    expect(await deployment.runs(key)).toMatchObject([{ status: 'CANCELED' }]);
  });

  test('is a failure that says so when someone cancels it in Dagster', async () => {
    const { failure } = await held(async (environment) => {
      const { runId } = await heard(environment, 'the step', isHeld);
      await deployment.terminate(runId!);
    });
    expect(failure).toMatchObject({ kind: 'cancelled', message: expect.stringMatching(/was cancelled in Dagster\.$/) });
  });

  test('goes on when the worker shuts down', async () => {
    const { error, key } = await held(async (environment) => {
      await heard(environment, 'the step', isHeld);
      environment.cancel('WORKER_SHUTDOWN');
    });
    expect(error).toMatchObject({ type: 'WorkerShutdown', nonRetryable: false });
    const [run] = await deployment.runs(key);
    expect(run!.status).toBe('STARTED');
    await deployment.terminate(run!.runId);
  });

  test('of a workflow that is gone is ended before the step runs again', async () => {
    const asked = request({ job: 'load_job' });
    await deployment.launch('hold_job', { until: go('never'), 'dayfill/key': asked.key });
    expect((await ranStep(deps, dagsterJob, asked)).result).not.toBeNull();
    expect((await deployment.runs(asked.key)).map(({ status }) => status)).toEqual(['SUCCESS', 'CANCELED']);
  });

  test('goes on while the webserver is replaced, and is followed to its end', async () => {
    const { result, key } = await ran({ job: 'hold_job', tags: { until: go('up') } }, {}, async (environment) => {
      await heard(environment, 'the step', isHeld);
      await deployment.killWebserver();
      await heard(environment, 'the silence', ({ current }) => current?.includes('does not answer'));
      writeFileSync(go('up'), '');
      await deployment.startWebserver();
    });
    expect(await deployment.runs(key)).toMatchObject([{ runId: result!.jobIds[0], status: 'SUCCESS' }]);
  });
});

describe('a worker that is killed', () => {
  const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };
  const bundle = () => path.join(directory, 'workflows.js');
  const workers: ChildProcess[] = [];
  let temporal: TestWorkflowEnvironment;
  let proxy: DagsterProxy;

  beforeAll(async () => {
    proxy = await startDagsterProxy(deployment.url);
    temporal = await TestWorkflowEnvironment.createLocal({
      server: { executable: { type: 'existing-path', path: temporalBinary() } },
    });
    const workflowsPath = path.resolve('test/stack/fixtures/one-step-workflow.ts');
    writeFileSync(bundle(), (await bundleWorkflowCode({ workflowsPath, logger: quiet })).code);
  });
  afterAll(async () => {
    for (const worker of workers) await killed(worker);
    await temporal?.teardown();
    await proxy?.stop();
  });

  const startWorker = (taskQueue: string) => {
    const script = path.resolve('test/stack/fixtures/step-worker.mjs');
    const args = [script, temporal.address, deps.config.stateDir, bundle(), taskQueue];
    const worker = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'ignore'] });
    workers.push(worker);
    return worker;
  };
  async function killed(worker: ChildProcess): Promise<void> {
    if (!isRunning(worker.pid!)) return;
    worker.kill('SIGKILL');
    await once(worker, 'exit');
  }
  async function started(asked: StepRequest) {
    const taskQueue = asked.step;
    const worker = startWorker(taskQueue);
    const options = { args: [asked, 'dagster/job'] as [StepRequest, 'dagster/job'], taskQueue, workflowId: asked.key };
    return { worker, taskQueue, handle: await temporal.client.workflow.start<typeof oneStep>('oneStep', options) };
  }
  /** The run that the step's heartbeat names. */
  async function runOf(handle: WorkflowHandle): Promise<string | undefined> {
    const [activity] = (await handle.describe()).raw.pendingActivities ?? [];
    const data = activity?.heartbeatDetails?.payloads?.[0]?.data;
    return data && JSON.parse(Buffer.from(data).toString()).runId;
  }

  test('in the middle of a run: the next attempt follows it to its end', async () => {
    const asked = request({ job: 'hold_job', tags: { until: go('middle') } });
    const { worker, taskQueue, handle } = await started(asked);
    const runId = await until('the run', () => runOf(handle), 60_000);
    await killed(worker);
    startWorker(taskQueue);
    writeFileSync(go('middle'), '');
    expect((await handle.result()).jobIds).toEqual([runId]);
    expect(await deployment.runs(asked.key)).toMatchObject([{ runId, status: 'SUCCESS' }]);
  });

  test('before it knows that a run was launched: the next attempt finds it by its tags', async () => {
    const asked = request({ job: 'hold_job', url: proxy.url, tags: { until: go('launch') } });
    proxy.loses = 'mutation Launch';
    const { worker, taskQueue, handle } = await started(asked);
    await until('the launch', () => proxy.lost === 1, 60_000);
    expect(await runOf(handle)).toBeUndefined();
    await killed(worker);
    startWorker(taskQueue);
    writeFileSync(go('launch'), '');
    const [run, ...more] = await deployment.runs(asked.key);
    expect(more).toEqual([]);
    expect((await handle.result()).jobIds).toEqual([run!.runId]);
    expect(await deployment.runs(asked.key)).toHaveLength(1);
    proxy.loses = null;
  });

  test('while a run ended: its result is read, and nothing is run again', async () => {
    const asked = request({ job: 'hold_job', tags: { until: go('end') } });
    const { worker, taskQueue, handle } = await started(asked);
    await until('the run', () => runOf(handle), 60_000);
    await killed(worker);
    writeFileSync(go('end'), '');
    await until('its end', async () => (await deployment.runs(asked.key))[0]?.status === 'SUCCESS', 60_000);
    startWorker(taskQueue);
    await handle.result();
    expect(await deployment.runs(asked.key)).toHaveLength(1);
  });

  test('a failure that may pass is another run for the next try, and no more than the step may have', async () => {
    const asked = request({ job: 'fail_network_job' }, { retry: { attempts: 2, initialMs: 100 } });
    const { handle } = await started(asked);
    const error = await handle.result().catch((reason: WorkflowFailedError) => reason.cause);
    expect(error).toBeInstanceOf(ActivityFailure);
    expect((error as ActivityFailure).cause).toBeInstanceOf(ApplicationFailure);
    expect((error as ActivityFailure).cause).toMatchObject({ type: 'transient' });
    expect(await deployment.runs(asked.key)).toMatchObject([{ status: 'FAILURE' }, { status: 'FAILURE' }]);
  });
});
