import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowFailedError } from '@temporalio/client';
import { cancelBackfill, pauseBackfill, planBackfill, resumeBackfill } from '../../src/client/start.js';
import { isRunning, until } from '../stack/fixtures/processes.js';
import { type CommandPipeline, type CommandStack, failureOf, startCommandStack } from '../support/command-pipelines.js';

let commands: CommandStack;
beforeAll(async () => {
  commands = await startCommandStack();
});
afterAll(() => commands?.stop());

const [D16, D17, D18] = ['2025-07-16', '2025-07-17', '2025-07-18'] as const;
const THREE_DAYS = { from: D16, to: D18 };

/** A backfill of three days whose first step is under way, with the process of that step. */
async function underWay(name: string): Promise<{ pipeline: CommandPipeline; pid: number }> {
  const pipeline = commands.pipeline(name);
  pipeline.hold(`${D16}.crm`);
  await pipeline.start(THREE_DAYS);
  return { pipeline, pid: await pipeline.hasBegun(`${D16}.crm`) };
}

/** How a workflow was closed, once it is. */
async function closed(handle: { result(): Promise<unknown>; describe(): Promise<{ status: { name: string } }> }) {
  await handle.result().catch((error) => {
    if (!(error instanceof WorkflowFailedError)) throw error;
  });
  return (await handle.describe()).status.name;
}

test('pause lets the day under way end and starts no other until resume', async () => {
  const { pipeline } = await underWay('paused');
  await pauseBackfill(commands.dayfill, 'paused');
  await pipeline.until('the pause', ({ status }) => status === 'paused');
  pipeline.release(`${D16}.crm`);
  const progress = await pipeline.until('the end of the day', ({ ended }) => ended[D16] === 'succeeded');
  expect(progress).toMatchObject({ status: 'paused', pending: [D17, D18], live: {} });
  expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.identity`]);

  await resumeBackfill(commands.dayfill, 'paused');
  expect(await pipeline.backfill().result()).toMatchObject({ counts: { succeeded: 3 } });
  await expect(pauseBackfill(commands.dayfill, 'paused')).rejects.toThrow('No backfill of paused is running.');
});

test('drain lets the day under way end, starts no other, and says what is left', async () => {
  const { pipeline } = await underWay('drained');
  await cancelBackfill(commands.dayfill, 'drained', 'drain');
  await pipeline.until('the draining', ({ status }) => status === 'cancelling');
  await expect(pipeline.add({ partitions: ['2025-07-20'] })).rejects.toMatchObject({
    cause: { message: 'The backfill is ending and takes no more partitions: start it again.' },
  });
  pipeline.release(`${D16}.crm`);
  expect(await failureOf(pipeline.backfill())).toEqual({
    type: 'BackfillFailed',
    message: 'The backfill was cancelled after the partition under way. 2 partitions were not started.',
  });
  expect(await pipeline.recorded()).toEqual([`${D16} succeeded`]);
});

describe('cancelling', () => {
  test('stops the step under way and its process, and the ledger says so', async () => {
    const { pipeline, pid } = await underWay('cancelled');
    await cancelBackfill(commands.dayfill, 'cancelled', 'now');
    expect(await closed(pipeline.backfill())).toBe('CANCELLED');
    expect(isRunning(pid)).toBe(false);
    expect(await closed(pipeline.day(D16))).toBe('CANCELLED');
    expect(pipeline.ended()).toEqual([]);
    expect(pipeline.began()).toEqual([`${D16}.crm`]);
    const rows = await pipeline.rows();
    expect(rows.map(({ status }) => status)).toEqual(['failed']);
    expect(rows[0]!.steps.map(({ id, status }) => [id, status])).toEqual([
      ['crm', 'failed'],
      ['identity', 'pending'],
    ]);
    expect(rows[0]!.steps[0]!.failure).toMatchObject({ kind: 'cancelled', message: 'The run was cancelled.' });

    pipeline.release(`${D16}.crm`);
    expect(await pipeline.run(THREE_DAYS)).toMatchObject({ counts: { succeeded: 3 } });
  });

  test('ends a day that waits', async () => {
    const pipeline = commands.pipeline('cancelled-waiting');
    pipeline.break(`${D16}.crm`);
    await pipeline.start(THREE_DAYS);
    const failure = await pipeline.waiting(D16);
    await cancelBackfill(commands.dayfill, 'cancelled-waiting', 'now');
    expect(await closed(pipeline.backfill())).toBe('CANCELLED');
    expect(await closed(pipeline.day(D16))).toBe('CANCELLED');
    const last = (await pipeline.rows()).at(-1)!;
    expect(last).toMatchObject({ status: 'failed', steps: [{ id: 'crm', status: 'failed' }, { id: 'identity' }] });
    expect(last.steps[0]!.failure!.id).toBe(failure.id);
  });

  test('a day alone ends the backfill with a sentence', async () => {
    const { pipeline, pid } = await underWay('cancelled-day');
    await pipeline.day(D16).cancel();
    expect(await failureOf(pipeline.backfill())).toEqual({
      type: 'BackfillFailed',
      message: '2025-07-16 was cancelled. 2 partitions were not started.',
    });
    expect(isRunning(pid)).toBe(false);
    expect(await pipeline.recorded()).toEqual([`${D16} failed`]);
  });

  test('a backfill that waits for a day of someone else leaves that day alone', async () => {
    const pipeline = commands.pipeline('cancelled-beside');
    pipeline.hold(`${D16}.crm`);
    const foreign = await pipeline.startDay(D16);
    await pipeline.hasBegun(`${D16}.crm`);
    await pipeline.start(THREE_DAYS);
    await pipeline.until('the foreign day to be met', ({ live }) => live[D16] !== undefined);
    await cancelBackfill(commands.dayfill, 'cancelled-beside', 'now');
    expect(await closed(pipeline.backfill())).toBe('CANCELLED');
    pipeline.release(`${D16}.crm`);
    expect(await foreign.result()).toMatchObject({ status: 'succeeded' });
  });
});

describe('terminating', () => {
  test('a backfill cancels its day under way', async () => {
    const { pipeline, pid } = await underWay('terminated');
    await pipeline.backfill().terminate('by hand');
    expect(await closed(pipeline.day(D16))).toBe('CANCELLED');
    expect(isRunning(pid)).toBe(false);
    expect(await pipeline.recorded()).toEqual([`${D16} failed`]);
    expect(pipeline.began()).toEqual([`${D16}.crm`]);
  });

  test('a day that waits is found by the next plan, which corrects the ledger', async () => {
    const pipeline = commands.pipeline('terminated-waiting');
    pipeline.break(`${D16}.crm`);
    const day = await pipeline.startDay(D16);
    await pipeline.waiting(D16);
    await until('the ledger to say that it waits', async () => (await pipeline.recorded()).length === 1);
    await day.terminate('by hand');
    expect(await pipeline.recorded()).toEqual([`${D16} waiting`]);

    pipeline.mend(`${D16}.crm`);
    expect(await pipeline.run({ partitions: [D16] })).toMatchObject({ counts: { succeeded: 1 } });
    expect(await pipeline.recorded()).toEqual([`${D16} waiting`, `${D16} failed`, `${D16} succeeded`]);
    const again = await planBackfill(commands.dayfill, { pipeline: 'terminated-waiting', partitions: [D16] });
    expect(again.partitions).toEqual([{ partition: D16, action: 'skip', reason: 'already succeeded' }]);
  });
});
