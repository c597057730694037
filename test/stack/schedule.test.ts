import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { StateError, UsageError } from '../../src/client/errors.js';
import {
  type CatchUpSchedule,
  checkSchedule,
  pauseSchedule,
  removeSchedule,
  resumeSchedule,
  type ScheduleSettings,
  setSchedule,
  showSchedule,
} from '../../src/client/schedule.js';
import { catchUpId, digestId, TASK_QUEUE } from '../../src/contracts/ids.js';
import { CommandLine } from '../support/command-line.js';
import { type CommandPipeline, type CommandStack, startCommandStack } from '../support/command-pipelines.js';
import { until } from './fixtures/processes.js';

const DAY_MS = 86_400_000;
const today = new Date();
const daysAgo = (days: number) => new Date(today.getTime() - days * DAY_MS).toISOString().slice(0, 10);

let commands: CommandStack;
let cli: CommandLine;
beforeAll(async () => {
  commands = await startCommandStack();
  cli = new CommandLine(commands.stack.env);
});
afterAll(() => commands?.stop());

const schedule = (...args: string[]) => cli.json<object>(['schedule', ...args]);
const show = (pipeline: string) => showSchedule(commands.dayfill, pipeline);

/** Sets a schedule as the command line does, once it has read its options. */
async function set(pipeline: string, cron: string, more: Partial<ScheduleSettings> = {}): Promise<CatchUpSchedule> {
  const settings = { pipeline, cron, timezone: 'UTC', lookbackDays: 14, maxPartitions: 10, notifyAt: '08:00', ...more };
  checkSchedule(commands.dayfill, settings);
  return setSchedule(commands.dayfill, settings);
}

/** Three days that are over, and no others: the night may come before or after midnight. */
function threeDays(name: string): CommandPipeline {
  return commands.pipeline(name, { partition: { every: '1d', start: daysAgo(4), end: daysAgo(2) } });
}

async function scheduleIds(): Promise<string[]> {
  const ids: string[] = [];
  for await (const { scheduleId } of commands.dayfill.temporal.schedule.list()) ids.push(scheduleId);
  return ids;
}

test('a schedule is set, changed, paused, resumed and removed; setting it twice is setting it once', async () => {
  threeDays('orders');
  const settings = ['--cron', '0 2 * * *', '--timezone', 'Europe/Berlin', '--lookback', '7d', '--max-partitions', '3'];
  const first = await schedule('set', 'orders', ...settings);
  expect(first).toMatchObject({
    ...{ pipeline: 'orders', cron: '0 2 * * *', timezone: 'Europe/Berlin', lookback: '7d', maxPartitions: 3 },
    ...{ notifyAt: '08:00', paused: false, lastRuns: [] },
  });
  expect((await show('orders')).nextRuns).toEqual(Array(3).fill(expect.stringMatching(/T0[01]:00:00\.000Z$/)));
  const again = await schedule('set', 'orders', ...settings);
  expect(again).toEqual(first);

  expect((await cli.run(['schedule', 'pause', 'orders'])).stdout).toBe('The schedule of orders is paused.');
  const changed = ['--cron', '30 4 * * 1-5', '--notify-at', '07:30'];
  expect(await schedule('set', 'orders', ...changed)).toMatchObject({
    ...{ cron: '30 4 * * 1-5', timezone: 'UTC', lookback: '14d', maxPartitions: 10, notifyAt: '07:30', paused: true },
  });
  const shown = await cli.run(['schedule', 'show', 'orders']);
  expect(shown.stdout).toContain('orders catches up at "30 4 * * 1-5" UTC: the last 14 days, at most 10 partitions');
  expect(shown.stdout).toContain('It is paused; go on with: dayfill schedule resume orders');
  expect((await cli.run(['schedule', 'resume', 'orders'])).stdout).toBe('The schedule of orders goes on.');
  const { policies, state } = await commands.dayfill.temporal.schedule.getHandle(catchUpId('orders')).describe();
  expect({ policies, paused: state.paused }).toMatchObject({
    policies: { overlap: 'SKIP', catchupWindow: DAY_MS },
    paused: false,
  });
  expect((await cli.run(['schedule', 'remove', 'orders'])).code).toBe(0);
  const { code, stdout, stderr } = await cli.run(['schedule', 'show', 'orders']);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^dayfill: orders has no schedule; make one with: dayfill schedule set orders/);
  for (const change of [pauseSchedule, resumeSchedule, removeSchedule]) {
    await expect(change(commands.dayfill, 'orders')).rejects.toThrow(StateError);
  }
});

describe('what is wrong', () => {
  const night = ['--cron', '0 2 * * *'];
  const lines: [string[], RegExp][] = [
    [['nowhere', ...night], /no pipeline "nowhere"/],
    [['refused'], /required option '--cron/],
    [['refused', '--cron', '99 2 * * *'], /"99 2 \* \* \*" is not a cron expression: .*0-59/],
    [['refused', ...night, '--lookback', '14'], /expected days from 1d to 366d/],
    [['refused', ...night, '--max-partitions', '0'], /whole number from 1 to 1000/],
    [['refused', ...night, '--notify-at', '8am'], /a time of day such as 08:00/],
  ];
  const settings: [cron: string, timezone: string, sentence: RegExp][] = [
    ['every night', 'UTC', /"every night" is not a cron expression: expected five fields/],
    ['0 2 * *', 'UTC', /expected five fields/],
    ['', 'UTC', /expected five fields/],
    ['@every 5s', 'UTC', /expected five fields/],
    ['CRON_TZ=Asia/Tokyo 0 2 * * *', 'UTC', /expected five fields/],
    ['0 2 * * FUNDAY', 'UTC', /is not a cron expression/],
    ['0 2 * * *', 'Europe/Atlantis', /"Europe\/Atlantis" is not a time zone/],
    ['0 2 * * *', '+02:00', /is not a time zone/],
    ['0 2 * * *', 'europe/berlin', /mind its capital letters/],
  ];

  test('is refused in one sentence, and nothing is written', async () => {
    threeDays('refused');
    const outcomes = await Promise.all(lines.map(([args]) => cli.run(['schedule', 'set', ...args])));
    for (const [index, { code, stdout, stderr }] of outcomes.entries()) {
      expect(stderr).toMatch(lines[index]![1]);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    }
    for (const [cron, timezone, sentence] of settings) {
      const refused = await set('refused', cron, { timezone }).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(UsageError);
      expect((refused as Error).message).toMatch(sentence);
    }
    expect(await scheduleIds()).not.toContain(catchUpId('refused'));
  });

  test('leaves a schedule that is there as it was', async () => {
    threeDays('kept');
    const before = await set('kept', '0 2 * * *');
    await expect(set('kept', '0 99 * * *')).rejects.toThrow(/is not a cron expression/);
    await expect(set('kept', '0 2 * * *', { timezone: 'europe/berlin' })).rejects.toThrow(UsageError);
    expect(await show('kept')).toEqual(before);
  });
});

describe('the night comes by itself', () => {
  test('every few seconds, and does its days once; the digest waits for the morning', async () => {
    const pipeline = threeDays('by-itself');
    await set('by-itself', '*/2 * * * * * *', { maxPartitions: 2 });
    await until('all days', async () => (await pipeline.rows()).length === 3);
    const { temporal } = commands.dayfill;
    const shown = await until('a night after the work was done', async () => {
      const { lastRuns } = await show('by-itself');
      return lastRuns.length >= 3 ? lastRuns : null;
    });
    await removeSchedule(commands.dayfill, 'by-itself');
    expect(pipeline.began()).toEqual(
      [daysAgo(4), daysAgo(3), daysAgo(2)].flatMap((day) => [`${day}.crm`, `${day}.identity`]),
    );
    const results = await Promise.all(
      shown.map(({ workflowId }) => temporal.workflow.getHandle(workflowId).result() as Promise<{ digestAt: string }>),
    );
    const { digestAt } = results[0]!;
    const digest = await temporal.workflow.getHandle(digestId('by-itself', digestAt.slice(0, 10))).describe();
    expect(digest.status.name).toBe('RUNNING');
    expect(digestAt).toMatch(/T08:00:00\.000Z$/);
    // The next night hears when people were told last.
    const [, second] = shown;
    const { events } = await temporal.workflow.getHandle(second!.workflowId).fetchHistory();
    const { lastCompletionResult } = events![0]!.workflowExecutionStartedEventAttributes!;
    expect(Buffer.from(lastCompletionResult!.payloads![0]!.data!).toString()).toContain(digestAt);
  });

  test('or when it is triggered, for the day of its own time', async () => {
    const pipeline = threeDays('triggered');
    await set('triggered', '0 2 31 2 *');
    expect((await cli.run(['schedule', 'show', 'triggered'])).stdout).toContain('Next: never');
    const handle = commands.dayfill.temporal.schedule.getHandle(catchUpId('triggered'));
    await handle.trigger();
    await until('all days', async () => (await pipeline.rows()).length === 3);
    await pipeline.backfill().result();
    // As Temporal does for nights that an outage held up: for the time they were meant for.
    const meant = new Date(Date.parse(`${daysAgo(3)}T02:00:00Z`));
    await set('triggered', '0 2 * * *');
    await handle.backfill({ start: new Date(meant.getTime() - 1000), end: meant, overlap: 'ALLOW_ALL' });
    const [run] = await until('the night of that time', async () => {
      const { lastRuns } = await show('triggered');
      const late = lastRuns.filter(({ scheduledAt }) => scheduledAt === meant.toISOString());
      return late.length > 0 ? late : null;
    });
    const result = await commands.dayfill.temporal.workflow.getHandle(run!.workflowId).result();
    expect(result).toMatchObject({ today: daysAgo(3), partitions: [] });
  });

  test('at an hour that clocks skip or show twice no day is lost', async () => {
    for (const [name, first, last] of [
      ['forward', '2027-03-27', '2027-03-30'],
      ['back', '2027-10-30', '2027-11-02'],
    ] as const) {
      const pipeline = commands.pipeline(name, { partition: { every: '1d', start: first } });
      await set(name, '30 2 * * *', { timezone: 'Europe/Berlin' });
      const { temporal, namespace } = commands.dayfill;
      const seconds = (day: string) => ({ seconds: Math.floor(Date.parse(`${day}T12:00:00Z`) / 1000) as never });
      const { startTime } = await temporal.workflowService.listScheduleMatchingTimes({
        ...{ namespace, scheduleId: catchUpId(name), startTime: seconds(first), endTime: seconds(last) },
      });
      for (const [index, time] of startTime!.entries()) {
        const scheduledAt = new Date(Number(time.seconds) * 1000).toISOString();
        await temporal.workflow.execute('catchUp', {
          workflowId: `${catchUpId(name)}-${index}`,
          taskQueue: TASK_QUEUE,
          args: [{ pipeline: name, timezone: 'Europe/Berlin', scheduledAt }],
        });
        await pipeline.backfill().result();
      }
      const next = (days: number) => new Date(Date.parse(first) + days * DAY_MS).toISOString().slice(0, 10);
      expect(await pipeline.recorded()).toEqual([0, 1, 2].map((days) => `${next(days)} succeeded`));
      await removeSchedule(commands.dayfill, name);
    }
  });
});
