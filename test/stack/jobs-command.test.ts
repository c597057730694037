import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { StepJob } from '../../src/client/jobs.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { CommandLine, writePipeline } from '../support/command-line.js';
import { startTestStack, type TestStack } from '../support/stack.js';

/** Minutes of work, unless someone stops it. */
const ENDLESS = `select count(*) n from unnest(generate_array(1, 1000000)) a, unnest(generate_array(1, 1000000)) b
where mod(a * b, 7) = 3`;
const DAY = '2025-07-18';

let stack: TestStack;
let pipelines: string;
let cli: CommandLine;
let bigquery: BigQuery;

beforeAll(async () => {
  pipelines = mkdtempSync(path.join(tmpdir(), 'dayfill-jobs-'));
  stack = await startTestStack({ services: ['bigquery'], env: { DAYFILL_PIPELINES: pipelines } });
  cli = new CommandLine(stack.env);
  bigquery = bigQueryClients(stack.config())('jobs-test');
  const steps = 'steps:\n  - { id: gather, uses: command, with: { run: ["true"] } }\n';
  const partition = 'partition: { every: 1d, start: 2025-07-01 }';
  writePipeline(pipelines, 'probe', `pipeline: probe\n${partition}\nvars: { project_id: jobs-test }\n${steps}`);
  writePipeline(pipelines, 'nowhere', `pipeline: nowhere\n${partition}\n${steps}`);
  writePipeline(
    pipelines,
    'chunks',
    `pipeline: chunks\npartition: { every: 30d, start: 2025-07-01 }
vars: { project_id: jobs-test }\n${steps}`,
  );
});
afterAll(async () => {
  await stack?.stop();
  rmSync(pipelines, { recursive: true, force: true });
});

const labels = (pipeline: string, partition: string, step = 'gather') => ({
  ...{ dayfill_pipeline: pipeline, dayfill_partition: partition, dayfill_step: step },
});
const start = async (query: string, labels: Record<string, string> = {}) =>
  (await bigquery.createQueryJob({ query, labels }))[0];
const listed = async (...args: string[]) => (await cli.json<{ jobs: StepJob[] }>(['jobs', ...args])).jobs;

test('nothing runs: that is said, and the document is empty', async () => {
  expect(await cli.run(['jobs', 'probe'])).toEqual({ code: 0, stdout: '', stderr: 'No job runs for probe.' });
  expect(await cli.json(['jobs', 'probe', DAY])).toEqual({ pipeline: 'probe', jobs: [] });
});

test('running jobs are shown with what they took so far; cancelling stops those of the labels and no other', async () => {
  const running = await start(ENDLESS, labels('probe', DAY));
  const queued = await start('select 1', labels('probe', '2025-07-19', 'merge'));
  const others = [
    await start('select 1', labels('probe2', DAY)),
    await start('select 1', labels('probe-1a2b3c4d', DAY)),
    await start('select 1'),
  ];

  const jobs = await listed('probe');
  expect(jobs.map(({ id, partition, step, state }) => [id, partition, step, state])).toEqual([
    [queued.id, '2025-07-19', 'merge', 'pending'],
    [running.id, DAY, 'gather', 'running'],
  ]);
  expect(jobs[1]).toMatchObject({ project: 'jobs-test', location: 'US', endedAt: null, reason: null });
  expect(jobs[1]!.slotMs).toBeGreaterThan(0);
  expect((await listed('probe', DAY)).map(({ id }) => id)).toEqual([running.id]);
  const { stdout } = await cli.run(['jobs', 'probe']);
  expect(stdout).toMatch(new RegExp(`${running.id}\\W+${DAY}\\W+gather\\W+running`));

  const asked = await cli.run(['jobs', 'probe', DAY, '--cancel']);
  expect(asked).toMatchObject({ code: 0, stdout: `${running.id} (gather of ${DAY}): cancelled` });
  expect((await running.getMetadata())[0].status).toMatchObject({ state: 'DONE', errorResult: { reason: 'stopped' } });
  for (const other of [queued, ...others]) await other.getQueryResults();

  expect(await listed('probe')).toEqual([]);
  expect((await listed('probe', '--all')).map(({ id, state, reason }) => [id, state, reason])).toEqual([
    [queued.id, 'succeeded', null],
    [running.id, 'cancelled', 'stopped'],
  ]);
});

test('a failed job is told with its reason, and chunks by their keys', async () => {
  await expect(start("select error('no')", labels('chunks', '2025-07-01--2025-07-30'))).rejects.toThrow('no');
  const chunk = '2025-07-01..2025-07-30';
  const [job] = await listed('chunks', chunk, '--all');
  expect(job).toMatchObject({ partition: chunk, state: 'failed', reason: 'invalidQuery', bytesBilled: 0 });
  expect(await cli.json(['jobs', 'chunks', '--cancel'])).toEqual({ pipeline: 'chunks', jobs: [] });
});

test.each([
  [['probe', '--all', '--cancel'], 'dayfill: --cancel is about jobs that run: leave out --all.', 2],
  [['probe', '2025-06-30'], expect.stringContaining('2025-06-30'), 2],
  [['nobody'], expect.stringContaining('nobody'), 2],
  [['nowhere'], 'dayfill: nowhere has no var project_id: nobody knows in which project its jobs run.', 1],
])('%j is refused in one sentence', async (args, stderr, code) => {
  expect(await cli.run(['jobs', ...args])).toEqual({ code, stdout: '', stderr });
});
