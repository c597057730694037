import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from '@temporalio/client';
import { connectClient } from '../../src/client/connection.js';
import { TASK_QUEUE } from '../../src/contracts/ids.js';
import type { StepHeartbeat } from '../../src/contracts/step.js';
import { startTimeOf } from '../../src/runners/processes.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import {
  dayfill,
  dayfillJson,
  dropTalbotsTables,
  sampleFiles,
  type TableContents,
  talbotsBigQuery,
  talbotsTables,
} from '../support/talbots.js';
import { until } from './fixtures/processes.js';
import { notedRuns } from './fixtures/ran-step.js';

const PATIENCE_MS = 420_000;
const DEDUPE = 'fixes/fix_unique_talbots_raw_extraction_conversion_unique_key.sql';
/** Some seconds of work for the warehouse. */
const SLOW_CONDITION = `(select sum(mod(a * b, 7))
from unnest(generate_array(1, 30000)) as a, unnest(generate_array(1, 30000)) as b) is not null`;
/** `held` says in the file `trace` that it began, and ends when there is a file `go-<step>-<partition>`. */
const HELD_PIPELINE = `
pipeline: held
partition: { every: 1d, start: 2025-07-01 }
steps:
  - { id: first, uses: command, with: { run: [node, held.mjs, first, "\${partition}"] } }
  - { id: second, uses: command, with: { run: [node, held.mjs, second, "\${partition}"] } }
`;
const HELD_PROGRAM = `
import { appendFileSync, existsSync } from 'node:fs';
const name = process.argv.slice(2).join('-');
appendFileSync('trace', name + '\\n');
setInterval(() => existsSync('go-' + name) && process.exit(), 20);
`;

let folder: string;
let stack: TestStack;
let client: Client;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'dayfill-pipelines-'));
  cpSync('pipelines/talbots', path.join(folder, 'pipelines/talbots'), { recursive: true });
  symlinkSync(path.resolve('warehouse'), path.join(folder, 'warehouse'));
  mkdirSync(path.join(folder, 'pipelines/held'));
  writeFileSync(path.join(folder, 'pipelines/held/pipeline.yaml'), HELD_PIPELINE);
  writeFileSync(path.join(folder, 'pipelines/held/held.mjs'), HELD_PROGRAM);
  stack = await startTestStack({ env: { DAYFILL_PIPELINES: path.join(folder, 'pipelines') } });
  ({ client } = await connectClient(stack.config()));
});
afterAll(async () => {
  await client?.connection.close();
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Pid = [pid: number, startTime: string | null];

/** The steps that are being run, by their run files. */
const stepRuns = () => notedRuns(stack.stateDir, 'talbots/');

/** The processes that run steps of this stack, or wait for one, all of their descendants included. Linux only, as CI is. */
function stepProcesses(): Pid[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.filter((pid) => isOfStep(environmentOf(pid))).map((pid) => [pid, startTimeOf(pid)]);
}

const isOfStep = (environment: string) => environment.includes('DAYFILL_KEY=') && environment.includes(stack.stateDir);

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return '';
  }
}

const stillRunning = (processes: Pid[]) =>
  processes.filter(([pid, startTime]) => startTime !== null && startTimeOf(pid) === startTime);

/** Kills services, brings the stack up again, and checks that nothing of a dead worker runs by then. */
async function crash(services: string[], { whileDown }: { whileDown?: () => Promise<unknown> } = {}): Promise<void> {
  const pids = await Promise.all(services.map((name) => stack.pid(name)));
  const left = stepProcesses();
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await until('the services are gone', () => pids.every((pid) => startTimeOf(pid) === null));
  await whileDown?.();
  await stack.up();
  if (services.includes('worker')) expect(stillRunning(left)).toEqual([]);
}

/** What a workflow has under way, with what it said last. */
async function underWay(workflowId: string): Promise<{ type: string; attempt: number; said: StepHeartbeat } | null> {
  const { raw } = await client.workflow.getHandle(workflowId).describe();
  const [activity] = raw.pendingActivities ?? [];
  // 2 is PENDING_ACTIVITY_STATE_STARTED
  if (activity === undefined || activity.state !== 2) return null;
  const said = activity.heartbeatDetails?.payloads?.[0]?.data;
  return {
    type: activity.activityType!.name!,
    attempt: activity.attempt!,
    said: said ? JSON.parse(Buffer.from(said).toString()) : {},
  };
}

interface ActivityRecord {
  type: string;
  /** The attempt that ended it; 0 while it is under way. */
  attempt: number;
  ended: 'completed' | 'failed' | null;
}

/** Every activity in the history of a workflow's latest run, in the order in which they were scheduled. */
async function activitiesOf(workflowId: string): Promise<ActivityRecord[]> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const found = new Map<string, ActivityRecord>();
  for (const event of events ?? []) {
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled) found.set(`${event.eventId}`, { type: scheduled.activityType!.name!, attempt: 0, ended: null });
    const started = event.activityTaskStartedEventAttributes;
    if (started) found.get(`${started.scheduledEventId}`)!.attempt = started.attempt!;
    const completed = event.activityTaskCompletedEventAttributes;
    if (completed) found.get(`${completed.scheduledEventId}`)!.ended = 'completed';
    const failed = event.activityTaskFailedEventAttributes;
    if (failed) found.get(`${failed.scheduledEventId}`)!.ended = 'failed';
  }
  return [...found.values()];
}

/** What ended the attempt before the last of each activity that was started; null for one that was started once. */
async function lastFailuresOf(workflowId: string): Promise<(string | null)[]> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const started = (events ?? []).flatMap(({ activityTaskStartedEventAttributes: event }) => event ?? []);
  return started.map(({ lastFailure }) => lastFailure?.applicationFailureInfo?.type ?? lastFailure?.message ?? null);
}

const again = expect.any(Number);

describe('a backfill of two days that need fixes, crash after crash', () => {
  const [FIRST, SECOND] = ['talbots/2025-07-17', 'talbots/2025-07-19'];
  const DAYS = ['--partitions', '2025-07-17,2025-07-19'];
  let undisturbed: Record<string, TableContents>;
  /** The command that started the backfill, and follows it through all of this. */
  let followed: ReturnType<typeof dayfill>;
  let disturbedSince: number;

  beforeAll(async () => {
    await sampleFiles(stack, '--from', '2025-07-17', '--to', '2025-07-19');
    expect(await dayfill(stack, 'run', 'talbots', ...DAYS)).toMatchObject({ exitCode: 0 });
    undisturbed = await talbotsTables(stack);
    await dropTalbotsTables(stack);
    const fix = path.join(folder, 'pipelines/talbots', DEDUPE);
    const sql = readFileSync(fix, 'utf8');
    // In the middle of the transaction, so that a fix can be caught at work.
    const [first = '', ...rest] = sql.split('    and source_line in');
    writeFileSync(fix, [`${first}    and ${SLOW_CONDITION}\n`, ...rest].join('    and source_line in'));
    disturbedSince = Date.now();
    followed = dayfill(stack, 'run', 'talbots', ...DAYS, '--force');
  }, PATIENCE_MS);

  afterAll(() => {
    followed?.kill();
  });

  const stepIs = (workflowId: string, type: string, at: (said: StepHeartbeat) => boolean) =>
    until(
      `${workflowId} is at its ${type}`,
      async () => {
        const step = await underWay(workflowId);
        return step !== null && step.type === type && at(step.said) ? step : null;
      },
      PATIENCE_MS,
    );

  const ended = (workflowId: string, count: number) =>
    until(
      `${count} activities of ${workflowId} have ended`,
      async () => (await activitiesOf(workflowId)).filter(({ ended }) => ended !== null).length >= count,
      PATIENCE_MS,
    );

  const jobs = async () => {
    const options = { projection: 'full', maxResults: 10_000, minCreationTime: `${disturbedSince}` } as const;
    return (await talbotsBigQuery(stack).getJobs(options))[0];
  };

  const fixJobs = async () => (await jobs()).filter(({ id }) => id!.startsWith('dayfill-'));

  /** Until the warehouse has got a statement of the day's step that contains the text; heartbeats are too slow to catch it at that. */
  const isBuilt = (step: string, day: string, text: string) =>
    until(
      `${text} of ${day} is being built`,
      async () =>
        (await jobs()).some(({ metadata: { configuration } }) => {
          const { dayfill_partition: partition, dayfill_step: label } = configuration.labels ?? {};
          return partition === day && label === step && configuration.query?.query.includes(text);
        }),
      PATIENCE_MS,
    );
  const crmIsBuilt = (day: string) => isBuilt('crm', day, 'talbots_raw_extraction_conversion');
  const identityIsBuilt = (day: string) => isBuilt('identity', day, 'cc_graph');

  test(
    'the worker is killed in the middle of a Dagster run',
    async () => {
      await crmIsBuilt('2025-07-17');
      expect(stepRuns()).toHaveLength(1);
      await crash(['worker']);
      await stepIs(FIRST, 'dagster/job', ({ pid }) => pid !== undefined && startTimeOf(pid) !== null);
      await ended(FIRST, 1);
      const [crm] = await activitiesOf(FIRST);
      expect(crm).toEqual({ type: 'dagster/job', attempt: 2, ended: 'failed' });
    },
    PATIENCE_MS,
  );

  test(
    'the worker is killed during a fix: the warehouse runs it once',
    async () => {
      const running = await until(
        'the fix runs',
        async () =>
          (await fixJobs()).find(({ id, metadata }) => id!.includes('-change-') && metadata.status.state !== 'DONE'),
        PATIENCE_MS,
      );
      expect(running.id).toContain('dedupe-conversion-key');
      await crash(['worker']);
      await ended(FIRST, 2);
      const [, fix] = await activitiesOf(FIRST);
      expect(fix).toEqual({ type: 'bigquery/fix', attempt: 2, ended: 'completed' });
      const since = (await fixJobs()).filter(({ id }) => id!.includes('-change-'));
      expect(since.map(({ id }) => id)).toEqual([running.id]);
      expect(since[0]!.metadata.status).toMatchObject({ state: 'DONE' });
      expect(since[0]!.metadata.status.errorResult).toBeUndefined();
    },
    PATIENCE_MS,
  );

  test(
    'the worker is killed in the middle of a dbt build',
    async () => {
      await ended(FIRST, 3);
      await identityIsBuilt('2025-07-17');
      expect(stepRuns()).toHaveLength(1);
      await crash(['worker']);
      await ended(FIRST, 4);
      const [, , , identity] = await activitiesOf(FIRST);
      expect(identity).toEqual({ type: 'dbt/build', attempt: 2, ended: 'completed' });
    },
    PATIENCE_MS,
  );

  test(
    "Temporal's server is killed in the middle of a step, which ends before it is back",
    async () => {
      await crmIsBuilt('2025-07-19');
      const worker = await stack.pid('worker');
      await crash(['temporal'], {
        whileDown: () => until('the step has ended', () => stepRuns().length === 0, PATIENCE_MS),
      });
      await ended(SECOND, 1);
      expect(await stack.pid('worker')).toBe(worker);
    },
    PATIENCE_MS,
  );

  test(
    'the server and the worker are killed at once in the middle of a step',
    async () => {
      await identityIsBuilt('2025-07-19');
      expect(stepRuns()).toHaveLength(1);
      await crash(['temporal', 'worker']);
      await ended(SECOND, 2);
      const [, identity] = await activitiesOf(SECOND);
      expect(identity).toEqual({ type: 'dbt/build', attempt: 2, ended: 'failed' });
    },
    PATIENCE_MS,
  );

  test(
    'it ends by itself, each step done once, and the tables are those of an undisturbed run',
    async () => {
      const { exitCode, stdout } = await followed;
      expect(stdout).toContain('date 2025-07-19 ingestion all done (fixed)');
      expect(exitCode).toBe(0);
      expect(await activitiesOf('backfill/talbots')).toEqual([{ type: 'plan', attempt: 1, ended: 'completed' }]);
      expect(await activitiesOf(FIRST)).toEqual([
        { type: 'dagster/job', attempt: 2, ended: 'failed' },
        { type: 'bigquery/fix', attempt: 2, ended: 'completed' },
        { type: 'dbt/build', attempt: 1, ended: 'completed' },
        { type: 'dbt/build', attempt: 2, ended: 'completed' },
      ]);
      expect(await activitiesOf(SECOND)).toEqual([
        { type: 'dagster/job', attempt: again, ended: 'completed' },
        { type: 'dbt/build', attempt: 2, ended: 'failed' },
        { type: 'bigquery/fix', attempt: 1, ended: 'completed' },
        { type: 'dbt/build', attempt: 1, ended: 'completed' },
      ]);
      const fixes = (await fixJobs()).map(({ id }) => id!.replace(/-[0-9a-f]{8}-/, '-'));
      const parts = ['backup-0', 'change-0', 'setup-0'];
      expect(fixes.sort()).toEqual([
        ...parts.map((part) => `dayfill-talbots-2025-07-17-crm-dedupe-conversion-key-1-${part}`),
        ...parts.map((part) => `dayfill-talbots-2025-07-19-identity-restore-conversion-ids-1-${part}`),
      ]);
      expect(await talbotsTables(stack)).toEqual(undisturbed);
      const { rows } = await dayfillJson(stack, 'ledger', 'talbots');
      expect(rows.map((row: { partition: string; status: string }) => [row.partition, row.status])).toEqual([
        ['2025-07-17', 'fixed'],
        ['2025-07-17', 'fixed'],
        ['2025-07-19', 'fixed'],
        ['2025-07-19', 'fixed'],
      ]);
      expect(stepRuns()).toEqual([]);
    },
    PATIENCE_MS,
  );
});

describe('a pipeline of two commands', () => {
  const [SCHEDULED, STARTED] = [1, 2];
  const release = (name: string) => writeFileSync(path.join(folder, 'pipelines/held', `go-${name}`), '');
  const trace = () => readFileSync(path.join(folder, 'pipelines/held/trace'), 'utf8').trim().split('\n');
  const pending = async (workflowId: string) => {
    const { raw } = await client.workflow.getHandle(workflowId).describe();
    return raw.pendingActivities?.[0];
  };
  const startBackfill = async (day: string) => {
    expect(await dayfill(stack, 'run', 'held', '--partitions', day, '--detach')).toMatchObject({ exitCode: 0 });
    await until('the first step runs', async () => {
      const found = await client.workflow
        .getHandle(`held/${day}`)
        .describe()
        .catch(() => null);
      return found?.raw.pendingActivities?.[0]?.state === STARTED;
    });
  };
  const backfillEnds = () => client.workflow.getHandle('backfill/held').result();

  beforeAll(async () => {
    // With room for one step at a time, another day's step keeps the second step of a day from starting.
    stack.env.DAYFILL_MAX_STEPS = '1';
    await stack.up();
  });

  test(
    'the worker is killed between two steps: the first is not run again, the second goes on',
    async () => {
      const [ONE, OTHER] = ['held/2025-07-16', 'held/2025-07-17'];
      await startBackfill('2025-07-16');
      const other = await client.workflow.start('partition', {
        workflowId: OTHER,
        taskQueue: TASK_QUEUE,
        args: [{ pipeline: 'held', partition: '2025-07-17' }],
      });
      await until('another day waits for its turn', async () => (await pending(OTHER))?.state === SCHEDULED);
      release('first-2025-07-16');
      await until('the other day runs', async () => (await pending(OTHER))?.state === STARTED);
      await until('the second step waits', async () => (await pending(ONE))?.state === SCHEDULED);
      expect(await activitiesOf(ONE)).toMatchObject([{ attempt: 1, ended: 'completed' }, { ended: null }]);
      await until('the other day has begun', () => trace().length === 2);

      await crash(['worker']);
      for (const name of ['first-2025-07-17', 'second-2025-07-16', 'second-2025-07-17']) release(name);
      await Promise.all([backfillEnds(), other.result()]);
      expect((await activitiesOf(ONE)).map(({ attempt }) => attempt)).toEqual([1, 1]);
      expect((await activitiesOf(OTHER)).map(({ attempt }) => attempt)).toEqual([2, 1]);
      // Given back by the worker that came after, rather than noticed by the server.
      expect(await lastFailuresOf(OTHER)).toEqual(['WorkerLost', null]);
      expect(trace().sort()).toEqual([
        'first-2025-07-16',
        ...['first-2025-07-17', 'first-2025-07-17'],
        'second-2025-07-16',
        'second-2025-07-17',
      ]);
    },
    PATIENCE_MS,
  );

  test('the worker is killed between the last step and the ledger: no step is run again, and one row is kept', async () => {
    const day = '2025-07-18';
    await startBackfill(day);
    const warehouse = await stack.pid('bigquery');
    process.kill(warehouse, 'SIGSTOP');
    try {
      for (const step of ['first', 'second']) release(`${step}-${day}`);
      await until('the ledger is being written', async () => {
        const activity = await pending('backfill/held');
        return activity?.activityType?.name === 'recordLedger' && activity.state === STARTED;
      });
      await crash(['worker'], { whileDown: async () => process.kill(warehouse, 'SIGCONT') });
    } finally {
      process.kill(warehouse, 'SIGCONT');
    }
    await backfillEnds();
    expect((await activitiesOf(`held/${day}`)).map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(await activitiesOf('backfill/held')).toMatchObject([{ type: 'plan' }, { type: 'recordLedger', attempt: 2 }]);
    expect(trace().filter((name) => name.endsWith(day))).toEqual([`first-${day}`, `second-${day}`]);
    const { rows } = await dayfillJson(stack, 'ledger', 'held', '--from', day, '--to', day);
    expect(rows).toMatchObject([{ status: 'succeeded', sequence: 1, steps: [{ id: 'first' }, { id: 'second' }] }]);
    // Long before the two minutes that writing a row may take.
  });
});
