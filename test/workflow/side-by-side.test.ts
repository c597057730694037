import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { startBackfill } from '../../src/client/start.js';
import { lockId } from '../../src/contracts/ids.js';
import { until } from '../stack/fixtures/processes.js';
import { type CommandPipeline, type CommandStack, failureOf, startCommandStack } from '../support/command-pipelines.js';

let commands: CommandStack;
beforeAll(async () => {
  commands = await startCommandStack();
});
afterAll(() => commands?.stop());

const [D16, D17, D18, D19] = ['2025-07-16', '2025-07-17', '2025-07-18', '2025-07-19'] as const;
const THREE_DAYS = { from: D16, to: D18 };

/** The most runs of a step that were under way at once. */
function mostAtOnce(pipeline: CommandPipeline): number {
  let [now, most] = [0, 0];
  for (const { word } of pipeline.log()) {
    now += word === 'begin' ? 1 : -1;
    most = Math.max(most, now);
  }
  return most;
}

describe('one at a time', () => {
  test('of two starts of a backfill one runs and the other is told what runs', async () => {
    const pipeline = commands.pipeline('two-starts');
    pipeline.hold(`${D16}.crm`);
    const input = { pipeline: 'two-starts', ...THREE_DAYS };
    const starts = await Promise.allSettled([
      startBackfill(commands.dayfill, input),
      startBackfill(commands.dayfill, input),
    ]);
    expect(starts.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await pipeline.hasBegun(`${D16}.crm`);
    await expect(startBackfill(commands.dayfill, input)).rejects.toThrow(
      /^A backfill of two-starts is running since .*Z \(0 of 3 done, now 2025-07-16\); add to it with "dayfill add two-starts --from 2025-07-16 --to 2025-07-18"/,
    );
    pipeline.release(`${D16}.crm`);
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { succeeded: 3 } });
    expect(pipeline.began()).toHaveLength(6);
  });

  test('the same day cannot run twice', async () => {
    const pipeline = commands.pipeline('same-day');
    pipeline.hold(`${D16}.crm`);
    const day = await pipeline.startDay(D16);
    await pipeline.hasBegun(`${D16}.crm`);
    await expect(pipeline.startDay(D16)).rejects.toThrow(WorkflowExecutionAlreadyStartedError);
    pipeline.release(`${D16}.crm`);
    await day.result();
    expect(pipeline.began()).toHaveLength(2);
  });

  test('a backfill waits for a day that someone else runs, then plans it again', async () => {
    const pipeline = commands.pipeline('beside-a-day');
    pipeline.hold(`${D17}.crm`);
    const foreign = await pipeline.startDay(D17);
    await pipeline.hasBegun(`${D17}.crm`);
    const handle = await pipeline.start(THREE_DAYS);
    await pipeline.until('the foreign day to be met', ({ live }) => live[D17] !== undefined);
    expect(pipeline.began()).toEqual([`${D17}.crm`, `${D16}.crm`, `${D16}.identity`]);

    pipeline.release(`${D17}.crm`);
    expect(await foreign.result()).toMatchObject({ status: 'succeeded' });
    expect(await handle.result()).toEqual({ pipeline: 'beside-a-day', planSkipped: 1, counts: { succeeded: 2 } });
    expect(pipeline.began().filter((step) => step.startsWith(D17))).toEqual([`${D17}.crm`, `${D17}.identity`]);
    expect(pipeline.began().slice(-2)).toEqual([`${D18}.crm`, `${D18}.identity`]);
  });

  test('a backfill runs a day again that someone else ran and that failed', async () => {
    const pipeline = commands.pipeline('beside-a-failing-day');
    pipeline.break(`${D16}.crm`);
    const foreign = await pipeline.startDay(D16);
    await pipeline.waiting(D16);
    const handle = await pipeline.start({ partitions: [D16] });
    await pipeline.until('the foreign day to be met', ({ live }) => live[D16] !== undefined);
    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'abort' });
    expect(await failureOf(foreign)).toEqual({
      type: 'PartitionFailed',
      message: '2025-07-16 failed and was not healed.',
    });
    expect(await handle.result()).toMatchObject({ counts: { succeeded: 1 } });
  });

  test('pipelines with a common lock take turns', async () => {
    const [one, two] = ['locked-one', 'locked-two'].map((name) => commands.pipeline(name, { lock: 'crm-project' }));
    one!.hold(`${D16}.crm`);
    const first = await one!.start({ partitions: [D16] });
    await one!.hasBegun(`${D16}.crm`);
    const second = await two!.start({ partitions: [D16] });
    await until('the second to wait for its turn', async () => {
      const { events } = await two!
        .day(D16)
        .fetchHistory()
        .catch(() => ({ events: [] }));
      return events?.some((event) => event.startChildWorkflowExecutionFailedEventAttributes != null);
    });
    expect(two!.began()).toEqual([]);

    one!.release(`${D16}.crm`);
    expect(await first.result()).toMatchObject({ counts: { succeeded: 1 } });
    expect(await second.result()).toMatchObject({ counts: { succeeded: 1 } });
    await until('the lock to be free', async () => {
      const description = await commands.dayfill.temporal.workflow.getHandle(lockId('crm-project')).describe();
      return description.status.name !== 'RUNNING';
    });
  });
});

describe('several at once', () => {
  test('as many as asked for, and never more, where the pipeline says parallel_safe', async () => {
    const pipeline = commands.pipeline('parallel', { parallel_safe: true });
    const days = [D16, D17, D18, D19];
    for (const day of days) pipeline.hold(`${day}.crm`);
    const handle = await pipeline.start({ from: D16, to: D19, concurrency: 2 });
    await pipeline.hasBegun(`${D16}.crm`);
    await pipeline.hasBegun(`${D17}.crm`);
    expect(await pipeline.progress()).toMatchObject({ pending: [D18, D19], live: { [D16]: {}, [D17]: {} } });
    for (const day of days) pipeline.release(`${day}.crm`);
    expect(await handle.result()).toMatchObject({ counts: { succeeded: 4 } });
    expect(mostAtOnce(pipeline)).toBe(2);
    expect(pipeline.began()).toHaveLength(8);
  });

  test('a failed day lets the others under way end, and starts no other', async () => {
    const pipeline = commands.pipeline('parallel-failing', { parallel_safe: true, on_failure: 'stop' });
    pipeline.break(`${D16}.crm`);
    pipeline.hold(`${D17}.crm`);
    const handle = await pipeline.start({ from: D16, to: D19, concurrency: 2 });
    await pipeline.hasBegun(`${D17}.crm`);
    await pipeline.until('the failed day', ({ ended }) => ended[D16] === 'failed');
    pipeline.release(`${D17}.crm`);
    expect(await failureOf(handle)).toEqual({
      type: 'BackfillFailed',
      message: '2025-07-16 failed and was not healed. 2 partitions were not started.',
    });
    expect((await pipeline.recorded()).sort()).toEqual([`${D16} failed`, `${D17} succeeded`]);
  });
});

describe('on_failure', () => {
  test('stop ends the backfill at the first failure, without asking', async () => {
    const pipeline = commands.pipeline('stopping', { on_failure: 'stop' });
    pipeline.break(`${D16}.crm`);
    expect(await failureOf(await pipeline.start(THREE_DAYS))).toEqual({
      type: 'BackfillFailed',
      message: '2025-07-16 failed and was not healed. 2 partitions were not started.',
    });
    expect(await pipeline.recorded()).toEqual([`${D16} failed`]);
    expect(pipeline.began()).toEqual([`${D16}.crm`]);
  });

  test('park lets the day wait by itself; the backfill goes on and ends, and the answer reaches the ledger', async () => {
    const pipeline = commands.pipeline('parking', { on_failure: 'park', parallel_safe: true });
    pipeline.break(`${D16}.crm`);
    const result = await pipeline.run(THREE_DAYS);
    expect(result).toEqual({ pipeline: 'parking', planSkipped: 0, counts: { waiting: 1, succeeded: 2 } });
    // The backfill may end before the parked day has written its row.
    await until('the parked day to be in the ledger', async () => (await pipeline.recorded()).length === 3);
    expect((await pipeline.recorded()).sort()).toEqual([`${D16} waiting`, `${D17} succeeded`, `${D18} succeeded`]);
    expect(await pipeline.state(D16)).toMatchObject({ status: 'waiting' });

    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    expect(await pipeline.day(D16).result()).toMatchObject({ status: 'fixed' });
    expect(await pipeline.recorded()).toContain(`${D16} fixed`);
  });

  test('a parked day that is answered while the backfill runs counts as it ended', async () => {
    const pipeline = commands.pipeline('parking-answered', { on_failure: 'park', parallel_safe: true });
    pipeline.break(`${D16}.crm`);
    pipeline.hold(`${D17}.crm`);
    const handle = await pipeline.start(THREE_DAYS);
    await pipeline.hasBegun(`${D17}.crm`);
    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    await pipeline.until('the parked day to end', ({ ended }) => ended[D16] === 'fixed');
    pipeline.release(`${D17}.crm`);
    expect(await handle.result()).toMatchObject({ counts: { fixed: 1, succeeded: 2 } });
  });
});
