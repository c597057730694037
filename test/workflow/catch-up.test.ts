import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { markPartitions } from '../../src/client/mark.js';
import type { CatchUpResult, Digest, DigestInput } from '../../src/contracts/catch-up.js';
import { TASK_QUEUE } from '../../src/contracts/ids.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { Webhooks } from '../stack/fixtures/listeners.js';
import { until } from '../stack/fixtures/processes.js';
import {
  type CommandPipeline,
  type CommandStack,
  failureOf,
  type PipelineChanges,
  startCommandStack,
} from '../support/command-pipelines.js';

const PROJECT = 'dayfill-local';
const [D15, D16, D17, D18, D19, D20] = [15, 16, 17, 18, 19, 20].map((day) => `2025-07-${day}`) as [
  ...[string, string, string, string, string, string],
];

let webhooks: Webhooks;
let commands: CommandStack;
beforeAll(async () => {
  webhooks = await Webhooks.start();
  commands = await startCommandStack({ env: { MORNING_HOOK: webhooks.url('/morning') } });
});
afterAll(async () => {
  await commands?.stop();
  await webhooks?.stop();
});

/** A pipeline whose calendar begins on a day. */
function startingOn(name: string, start: string, more: PipelineChanges = {}): CommandPipeline {
  const notify = [{ webhook: 'MORNING_HOOK', on: ['digest', 'finished'] }];
  return commands.pipeline(name, { partition: { every: '1d', start }, notify, ...more });
}

let count = 0;
/** Starts a night as Temporal's schedule does, but for a time of our own: at two o'clock UTC of a day. */
function startNight({ name }: CommandPipeline, day: string, more: object = {}) {
  return commands.dayfill.temporal.workflow.start<(input: object) => Promise<CatchUpResult>>('catchUp', {
    workflowId: `catch-up/${name}-${day}-${++count}`,
    taskQueue: TASK_QUEUE,
    args: [{ pipeline: name, scheduledAt: `${day}T02:00:00Z`, ...more }],
  });
}

/** One night; gives what it started. */
async function night(pipeline: CommandPipeline, day: string, more: object = {}): Promise<string[]> {
  return (await (await startNight(pipeline, day, more)).result()).partitions;
}

/** Tells people of the pipeline now; gives what they were told since, if anything. */
async function digestOf({ name }: CommandPipeline, more: Partial<DigestInput> = {}) {
  const now = new Date().toISOString();
  // Nights tell their own, since their mornings are long past: this one is known by its time.
  const since = more.since ?? `2025-01-01T00:00:00.${String(++count).padStart(3, '0')}Z`;
  await commands.dayfill.temporal.workflow.execute('digest', {
    workflowId: `digest/${name}/test-${++count}`,
    taskQueue: TASK_QUEUE,
    args: [{ pipeline: name, today: D20, lookbackDays: 14, at: now, ...more, since }],
  });
  const posts = webhooks.posts.map(({ body }) => body as { digest?: Digest; title: string; text: string });
  return posts.filter(({ digest }) => digest?.since === since);
}

const finishedOf = ({ name }: CommandPipeline) =>
  webhooks.posts.filter(({ body }) => body.event === 'finished' && String(body.title).startsWith(`${name}:`));

/** The days of a pipeline's first step, in the order in which they ran. */
function daysRun(pipeline: CommandPipeline): string[] {
  return pipeline.began().flatMap((step) => (step.endsWith('.crm') ? [step.slice(0, 10)] : []));
}

describe('a stuck day swallows no later night', () => {
  test('in a strict pipeline they queue behind it, each once, and the digest says so', async () => {
    const pipeline = startingOn('strict', D17);
    pipeline.break(`${D18}.crm`);
    expect(await night(pipeline, D18)).toEqual([D17]);
    await pipeline.backfill().result();
    expect(await night(pipeline, D19)).toEqual([D18]);
    const failure = await pipeline.waiting(D18);
    expect(await night(pipeline, D20, { maxPartitions: 1 })).toEqual([D19]);
    await pipeline.until('the day behind', ({ pending }) => pending.length === 1);
    expect(await night(pipeline, '2025-07-21', { maxPartitions: 1 })).toEqual([D20]);
    await pipeline.until('both days behind', ({ pending }) => pending.length === 2);
    expect(await night(pipeline, '2025-07-21')).toEqual([]);

    const [told, ...more] = await digestOf(pipeline);
    expect(more).toEqual([]);
    expect(told!.title).toBe('strict: 1 waiting, 1 succeeded, 2 behind 2025-07-18');
    expect(told!.text).toContain(`Behind ${D18}: ${D19}, ${D20}.`);
    expect(told!.text).toContain(`dayfill resolve strict ${D18} retry --failure ${failure.id}`);

    pipeline.mend(`${D18}.crm`);
    await pipeline.resolve(D18, { action: 'retry', by: 'ada' });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { fixed: 1, succeeded: 2 } });
    expect(daysRun(pipeline)).toEqual([D17, D18, D18, D19, D20]);
    const [after] = await digestOf(pipeline);
    expect(after!.title).toBe('strict: 3 succeeded, 1 fixed');
    expect(after!.text).toContain(`Succeeded: ${D17}, ${D19}, ${D20}.`);
    expect(after!.text).toContain(`Fixed by retry (ada): ${D18}.`);
    expect((await pipeline.rows()).map(({ reason }) => reason)).toEqual(Array(5).fill('catch-up'));
    // One digest is enough: its backfills tell nothing of their own.
    expect(finishedOf(pipeline)).toEqual([]);
  });

  test('nor does one that someone else runs: later days do not overtake it', async () => {
    const pipeline = startingOn('foreign', D17);
    pipeline.break(`${D17}.crm`);
    await pipeline.startDay(D17);
    await pipeline.waiting(D17);
    expect(await night(pipeline, D19)).toEqual([D17, D18]);
    await pipeline.until('the day to be met', ({ live, pending }) => live[D17] !== undefined && pending.length === 1);
    const [told] = await digestOf(pipeline, { today: D19 });
    expect(told!.title).toBe('foreign: 1 waiting, 1 behind 2025-07-17');
    pipeline.mend(`${D17}.crm`);
    await pipeline.resolve(D17, { action: 'retry' });
    await pipeline.backfill().result();
    expect(daysRun(pipeline)).toEqual([D17, D17, D18]);
  });

  test('a backfill that ends takes none, which is said, and the next night takes them', async () => {
    const pipeline = startingOn('ending', D17);
    pipeline.hold(`${D17}.crm`);
    await pipeline.start({ partitions: [D17] });
    await pipeline.hasBegun(`${D17}.crm`);
    await pipeline.backfill().signal('drain');
    await pipeline.until('the drain', ({ status }) => status === 'cancelling');
    const refused = await failureOf(await startNight(pipeline, D19));
    expect(refused.message).toMatch(/^The backfill is ending and takes no more partitions/);
    pipeline.release(`${D17}.crm`);
    await failureOf(pipeline.backfill());
    expect(await night(pipeline, D19)).toEqual([D18]);
    await pipeline.backfill().result();
  });

  test('in one that parks they go on', async () => {
    const pipeline = startingOn('parks', D17, { on_failure: 'park', parallel_safe: true });
    pipeline.break(`${D17}.crm`);
    expect(await night(pipeline, D18)).toEqual([D17]);
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { waiting: 1 } });
    expect(await night(pipeline, D19, { maxPartitions: 1 })).toEqual([D18]);
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { succeeded: 1 } });
    expect(await night(pipeline, D20)).toEqual([D19]);
    await pipeline.backfill().result();
    const [told] = await digestOf(pipeline, { today: D20 });
    expect(told!.title).toBe('parks: 1 waiting, 2 succeeded');
    pipeline.mend(`${D17}.crm`);
    await pipeline.resolve(D17, { action: 'retry' });
    expect(await pipeline.day(D17).result()).toMatchObject({ status: 'fixed' });
  });
});

describe('which days a night takes', () => {
  test('two nights at once start nothing twice', async () => {
    const pipeline = startingOn('twice', D15);
    const nights = await Promise.all([1, 2, 3].map(() => night(pipeline, D19)));
    expect(nights.flat()).toEqual(expect.arrayContaining([D15, D16, D17, D18]));
    await pipeline.backfill().result();
    await until('all days', () => daysRun(pipeline).length >= 4);
    expect(daysRun(pipeline)).toEqual([D15, D16, D17, D18]);
    expect(await night(pipeline, D19)).toEqual([]);
  });

  test('after an outage of a week all of them, oldest first, as many as one night may', async () => {
    const pipeline = startingOn('outage', '2025-06-20');
    await markPartitions(commands.dayfill, 'outage', { from: '2025-07-02', to: '2025-07-11' }, 'succeeded', 'by hand');
    const days = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, index) => `2025-07-${String(from + index).padStart(2, '0')}`);
    const first = await startNight(pipeline, '2025-07-19', { maxPartitions: 5 });
    expect(await first.result()).toMatchObject({ today: '2025-07-19', partitions: days(12, 16), left: 2 });
    await pipeline.backfill().result();
    // What was not started is told, and is not lost.
    const [told] = await digestOf(pipeline, { today: '2025-07-19', since: new Date().toISOString() });
    expect(told!.title).toBe('outage: 2 missing');
    expect(told!.text).toContain('Missing, in no backfill yet: 2025-07-17, 2025-07-18.');
    const second = await startNight(pipeline, '2025-07-20', { maxPartitions: 5 });
    expect(await second.result()).toMatchObject({ partitions: days(17, 19), left: 0 });
    await pipeline.backfill().result();
    expect(daysRun(pipeline)).toEqual(days(12, 19));
  });

  test.each([
    ['clocks put forward', '2026-03-27', ['2026-03-28T01:30', '2026-03-29T01:30', '2026-03-30T00:30']],
    ['clocks put back', '2026-10-24', ['2026-10-25T00:30', '2026-10-26T01:30', '2026-10-27T01:30']],
    ['the end of a month', '2026-04-29', ['2026-04-30T00:30', '2026-05-01T00:30', '2026-05-02T00:30']],
    ['just after midnight there', '2026-07-01', ['2026-07-01T22:00', '2026-07-02T22:30', '2026-07-03T22:10']],
  ])('one each in the nights around %s', async (_what, start, times) => {
    const pipeline = startingOn(`nights-${++count}`, start);
    const found: string[] = [];
    for (const time of times) {
      found.push(...(await night(pipeline, start, { scheduledAt: `${time}:00Z`, timezone: 'Europe/Berlin' })));
      await pipeline.backfill().result();
    }
    const next = (days: number) => new Date(Date.parse(start) + days * 86_400_000).toISOString().slice(0, 10);
    expect(found).toEqual([next(0), next(1), next(2)]);
    expect(daysRun(pipeline)).toEqual(found);
  });

  test('those whose source changed too, once', async () => {
    const bigquery = bigQueryClients(commands.stack.config())(PROJECT);
    await bigquery.query('create schema landing');
    await bigquery.query('create table landing.changes (day date, changed_at timestamp)');
    const pipeline = startingOn('late-rows', D15, {
      vars: { project_id: PROJECT },
      freshness: { query: 'select * from landing.changes where day between @partition_start and @partition_end' },
    });
    await night(pipeline, D17);
    await pipeline.backfill().result();
    await bigquery.query(`insert into landing.changes values ('${D15}', current_timestamp())`);
    expect(await night(pipeline, D18)).toEqual([D15, D17]);
    await pipeline.backfill().result();
    expect(daysRun(pipeline)).toEqual([D15, D16, D15, D17]);
    expect(await night(pipeline, D18)).toEqual([]);
  });

  test('and nothing at all where the pipeline, its source or the time zone is not to be had', async () => {
    const refused = async (pipeline: CommandPipeline, more: object) => failureOf(await startNight(pipeline, D18, more));
    const wrong = startingOn('wrong', D15, {
      vars: { project_id: PROJECT },
      freshness: { query: 'select * from landing.nowhere' },
    });
    const [nowhere, zone, source, much] = await Promise.all([
      refused(wrong, { pipeline: 'nowhere' }),
      refused(wrong, { timezone: 'Europe/Atlantis' }),
      refused(wrong, {}),
      refused(wrong, { lookbackDays: 0 }),
    ]);
    expect(nowhere.message).toMatch(/there is no pipeline "nowhere"/);
    expect(zone.message).toBe('There is no time zone "Europe/Atlantis".');
    expect(source.message).toMatch(/^The freshness query of wrong failed: /);
    expect(much.message).toMatch(/^The input is not usable: lookbackDays/);
    expect([nowhere, zone, source, much].map(({ type }) => type)).toEqual(Array(4).fill('BadInput'));
    expect(pipelineRan(wrong)).toBe(false);
    const [told] = await digestOf(wrong);
    expect(told!.text).toMatch(/What is missing could not be found out: The freshness query of wrong failed/);
  });
});

const pipelineRan = (pipeline: CommandPipeline) => pipeline.began().length > 0;

describe('critical: false', () => {
  test('skips days of catch-up that nobody decided on, and no others', async () => {
    const decide_within = { time: '1s', action: 'abort' };
    const pipeline = startingOn('may-be-missed', D15, { critical: false, decide_within });
    for (const day of [D15, D17]) pipeline.break(`${day}.crm`);
    pipeline.hold(`${D16}.crm`);
    // A person's backfill that runs takes in what catch-up adds.
    await pipeline.start({ partitions: [D16, D17] });
    await pipeline.hasBegun(`${D16}.crm`);
    expect(await night(pipeline, D18)).toEqual([D15]);
    await pipeline.until('the night to be taken in', ({ pending }) => pending.length === 2);
    pipeline.release(`${D16}.crm`);
    expect((await failureOf(pipeline.backfill())).message).toBe(`${D17} failed and was not healed.`);
    expect(await pipeline.recorded()).toEqual([
      ...[`${D15} waiting`, `${D15} skipped`, `${D16} succeeded`, `${D17} waiting`, `${D17} failed`],
    ]);
    await until('the end of a backfill that a person started to be told', () => finishedOf(pipeline)[0]);
    const [told] = await digestOf(pipeline, { today: D18 });
    expect(told!.title).toBe(`may-be-missed: 1 succeeded, 1 skipped, 1 failed, 1 missing`);
    // A skipped day is done; one that failed is taken again.
    expect(await night(pipeline, D18)).toEqual([D17]);
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { skipped: 1 } });
  });
});

describe('the digest', () => {
  test('comes once a morning, however many nights there were, and is silent when there is nothing to tell', async () => {
    const pipeline = startingOn('quiet', D17);
    await markPartitions(commands.dayfill, 'quiet', { from: D17, to: D18 }, 'succeeded', 'by hand');
    const told = () => webhooks.posts.filter(({ body }) => String(body.title).startsWith('quiet:'));
    for (const more of [{}, {}, { notifyAt: '07:30' }]) expect(await night(pipeline, D19, more)).toEqual([]);
    await commands.dayfill.temporal.workflow.getHandle(`digest/quiet/${D19}`).result();
    expect(told().map(({ body }) => body.title)).toEqual(['quiet: 2 succeeded']);
    expect(await digestOf(pipeline, { today: D19, since: new Date().toISOString() })).toEqual([]);
    expect(told()).toHaveLength(1);
  });
});
