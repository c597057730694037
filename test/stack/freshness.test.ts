import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type DueRequest, knownDue, resolveDue } from '../../src/client/due.js';
import { planBackfill } from '../../src/client/start.js';
import type { PlannedPartition } from '../../src/contracts/backfill.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { CommandLine } from '../support/command-line.js';
import { type CommandPipeline, type CommandStack, startCommandStack } from '../support/command-pipelines.js';
import { until } from './fixtures/processes.js';

const [D1, D2, D3, D4] = ['2025-07-01', '2025-07-02', '2025-07-03', '2025-07-04'] as const;
const PROJECT = 'dayfill-local';
const FRESHNESS = {
  query: 'select day, changed_at from landing.changes where day between @partition_start and @partition_end',
};

interface Status {
  counts: Record<string, number>;
  missing: string[] | null;
  stale: string[] | null;
}

let commands: CommandStack;
let cli: CommandLine;
let count = 0;

beforeAll(async () => {
  commands = await startCommandStack();
  cli = new CommandLine(commands.stack.env);
  await query('create schema landing');
});
afterAll(() => commands?.stop());

async function query(sql: string): Promise<void> {
  await bigQueryClients(commands.stack.config())(PROJECT).query(sql);
}

/** A pipeline of four days whose source is a table of its own. */
async function fresh(more: object = {}): Promise<{ pipeline: CommandPipeline; change: typeof change }> {
  const table = `landing.changes_${++count}`;
  await query(`create table ${table} (day date, changed_at timestamp)`);
  const pipeline = commands.pipeline(`fresh-${count}`, {
    partition: { every: '1d', start: D1, end: D4 },
    vars: { project_id: PROJECT, location: 'US' },
    freshness: { query: FRESHNESS.query.replace('landing.changes', table) },
    ...more,
  });
  /** The source of a day changes now. */
  const change = (day: string) => query(`insert into ${table} values ('${day}', current_timestamp())`);
  return { pipeline, change };
}

/** What `dayfill run` would do, as it finds it out. */
async function planOf({ name }: CommandPipeline, request: Partial<DueRequest>): Promise<string[]> {
  const { dayfill } = commands;
  const asked = await resolveDue(dayfill, name, { missing: false, stale: false, ...request });
  if (asked === null) return [];
  return lines((await planBackfill(dayfill, { pipeline: name, ...asked })).partitions);
}
const lines = (partitions: PlannedPartition[]) =>
  partitions.map(({ partition, action, reason }) => `${partition} ${action} ${reason}`);
const statusOf = ({ name }: CommandPipeline) => knownDue(commands.dayfill, name);

describe('late data', () => {
  test('makes done days stale, which are then run again, alone and once', async () => {
    const { pipeline, change } = await fresh();
    await change(D1);
    expect(await statusOf(pipeline)).toMatchObject({ missing: [D1, D2, D3, D4], stale: [] });
    await pipeline.run({ from: D1, to: D3 });
    expect(await statusOf(pipeline)).toMatchObject({ missing: [D4], stale: [] });

    for (const day of [D2, D4]) await change(day);
    expect(await statusOf(pipeline)).toMatchObject({ missing: [D4], stale: [D2] });
    const { name } = pipeline;
    const [one, all, json, plan] = await Promise.all([
      cli.run(['status', name]),
      cli.run(['status']),
      cli.json<Status>(['status', name]),
      cli.json<{ partitions: PlannedPartition[] }>(['run', name, '--stale', '--plan']),
    ]);
    expect(one.stdout).toContain(`1 missing: ${D4} (dayfill run ${name} --missing)`);
    expect(one.stdout).toContain(`1 stale: ${D2} (dayfill run ${name} --stale)`);
    expect(all.stdout).toContain(`${name}: idle (3 succeeded), 1 missing, 1 stale`);
    expect(json).toMatchObject({ counts: { succeeded: 3 }, missing: [D4], stale: [D2] });

    const stale = expect.stringContaining(`${D2} run stale: source changed at 20`);
    expect(lines(plan.partitions)).toEqual([stale]);
    expect(await planOf(pipeline, { stale: true, missing: true })).toEqual([stale, `${D4} run never run`]);
    expect(await planOf(pipeline, { stale: true, from: D3 })).toEqual([]);
    expect(await planOf(pipeline, { missing: true, to: D3 })).toEqual([]);
    expect(await planOf(pipeline, { stale: true, missing: true, exclude: [D2] })).toEqual([`${D4} run never run`]);
    const { partitions } = await planBackfill(commands.dayfill, { pipeline: name, from: D1, to: D3 });
    expect(lines(partitions)).toEqual([D1, D2, D3].map((day) => `${day} skip already succeeded`));

    expect((await cli.run(['run', name, '--stale'])).code).toBe(0);
    expect(pipeline.began().slice(6)).toEqual([`${D2}.crm`, `${D2}.identity`]);
    const [again, document] = await Promise.all([
      cli.run(['run', name, '--stale']),
      cli.json<object>(['run', name, '--stale']),
    ]);
    expect(again).toMatchObject({ code: 0, stdout: `Nothing to run: no partition of ${name} is stale.` });
    expect(document).toMatchObject({ partitions: [] });
  });

  test('that comes while a day runs makes it stale, and so does what comes before it is tried again', async () => {
    const { pipeline, change } = await fresh();
    pipeline.hold(`${D1}.identity`);
    pipeline.break(`${D2}.identity`);
    await pipeline.start({ from: D1, to: D2 });
    await pipeline.hasBegun(`${D1}.identity`);
    await change(D1);
    pipeline.release(`${D1}.identity`);
    await pipeline.waiting(D2);
    await change(D2);
    pipeline.mend(`${D2}.identity`);
    await pipeline.resolve(D2, { action: 'retry' });
    await pipeline.backfill().result();
    // A day that has just ended is listed as running for a moment, and what runs is not stale.
    await until(`${D2} to be stale`, async () => (await statusOf(pipeline)).stale?.includes(D2));
    expect(await statusOf(pipeline)).toMatchObject({ stale: [D1, D2], missing: [D3, D4] });
  });

  test('is not forgotten by a run that begins at a later step', async () => {
    const { pipeline, change } = await fresh();
    await pipeline.run({ partitions: [D1] });
    await change(D1);
    await pipeline.run({ partitions: [D1], fromStep: 'identity', force: true });
    expect(await statusOf(pipeline)).toMatchObject({ stale: [D1] });
  });

  test('is added to a backfill that runs, whose day someone else has meanwhile built again is left out', async () => {
    const { pipeline, change } = await fresh();
    await pipeline.run({ from: D1, to: D2 });
    pipeline.hold(`${D4}.crm`);
    await pipeline.start({ partitions: [D4] });
    await pipeline.hasBegun(`${D4}.crm`);
    for (const day of [D1, D2]) await change(day);
    expect(await cli.json<object>(['add', pipeline.name, '--stale', '--missing'])).toEqual({
      ...{ pipeline: pipeline.name, added: [D1, D2, D3], skipped: [] },
    });
    // What is under way is neither missing nor stale.
    expect(await statusOf(pipeline)).toMatchObject({ missing: [], stale: [] });
    pipeline.hold(`${D1}.crm`);
    await pipeline.startDay(D1);
    await until('someone else to be at it', () => pipeline.began().filter((step) => step === `${D1}.crm`).length === 2);
    pipeline.release(`${D4}.crm`);
    await pipeline.until('the foreign day to be met', ({ live }) => live[D1] !== undefined);
    pipeline.release(`${D1}.crm`);
    await pipeline.backfill().result();
    expect(pipeline.began().filter((step) => step.endsWith('.crm'))).toEqual(
      [D1, D2, D4, D1, D2, D3].map((day) => `${day}.crm`),
    );
    expect(await statusOf(pipeline)).toMatchObject({ missing: [], stale: [] });
  });
});

describe('a freshness query', () => {
  test('may know nothing of a day, and say a day twice', async () => {
    const { pipeline } = await fresh({
      freshness: {
        query: `
          select cast(null as date) as day, timestamp '2999-01-01' as changed_at
          union all select date '${D1}', null
          union all select date '${D2}', timestamp '2999-01-01'
          union all select date '${D2}', timestamp '2000-01-01'
          union all select date '1999-01-01', timestamp '2999-01-01'`,
      },
    });
    await pipeline.run({ from: D1, to: D3 });
    expect(await statusOf(pipeline)).toMatchObject({ missing: [D4], stale: [D2] });
  });

  test.each([
    ['select * from landing.nowhere', /The freshness query of fresh-\d+ failed: .*nowhere/],
    [
      `select date '${D1}' as day, '2025-07-20' as changed_at`,
      /must give the columns day \(DATE\) and changed_at \(TIMESTAMP\), not day \(DATE\), changed_at \(STRING\)\./,
    ],
    [`select date '${D1}' as d, timestamp '2025-07-20' as changed_at`, /must give .*, not d \(DATE\), changed_at/],
  ])('that is wrong is said in one sentence, and looking works without it: %s', async (sql, sentence) => {
    const { pipeline } = await fresh({ freshness: { query: sql } });
    const [run, status] = await Promise.all([
      cli.run(['run', pipeline.name, '--stale', '--plan']),
      cli.run(['status', pipeline.name, '--json']),
    ]);
    expect(run).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(sentence) });
    expect(run.stderr.trim().split('\n')).toHaveLength(1);
    expect(status.stderr).toMatch(sentence);
    expect(JSON.parse(status.stdout)).toMatchObject({ missing: [D1, D2, D3, D4], stale: null });
    expect(await planOf(pipeline, { missing: true })).toHaveLength(4);
  });

  test('is needed for --stale, which finds its partitions itself', async () => {
    commands.pipeline('plain');
    const refused = async (...args: string[]) => (await cli.run(['run', 'plain', ...args])).stderr;
    const said = await Promise.all([
      refused('--stale'),
      refused('--missing', '--partitions', D1),
      refused('--missing', '--exclude', '2025-02-30'),
      refused('--missing', '--concurrency', '3'),
    ]);
    expect(said).toEqual([
      expect.stringContaining('plain has no freshness: query, so nobody knows what is stale'),
      expect.stringContaining('leave out --partitions'),
      expect.stringContaining('not a date that exists'),
      expect.stringContaining('parallel_safe'),
    ]);
  });
});
