import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { catchUpId, TASK_QUEUE } from '../../src/contracts/ids.js';
import { until } from '../stack/fixtures/processes.js';
import { type CommandStack, type DayHandle, startCommandStack } from '../support/command-pipelines.js';

let commands: CommandStack;
beforeAll(async () => {
  commands = await startCommandStack({ env: { DAYFILL_MAX_STEPS: '1' } });
});
afterAll(() => commands?.stop());

const [D16, D17] = ['2025-07-16', '2025-07-17'] as const;

/** Waits until someone waits for another workflow to end. */
async function waitsForAnother(handle: Pick<DayHandle, 'describe'>): Promise<void> {
  await until('it to wait for another workflow', async () =>
    (await handle.describe()).raw.pendingActivities?.some(({ activityType }) => activityType?.name === 'awaitWorkflow'),
  );
}

test('waiting for a day of someone else takes no place from the steps of that day', async () => {
  const pipeline = commands.pipeline('beside');
  pipeline.break(`${D16}.crm`);
  const foreign = await pipeline.startDay(D16);
  await pipeline.waiting(D16);
  const handle = await pipeline.start({ from: D16, to: D17 });
  await waitsForAnother(handle);
  pipeline.mend(`${D16}.crm`);
  await pipeline.resolve(D16, { action: 'retry' });
  expect(await foreign.result()).toMatchObject({ status: 'fixed' });
  expect(await handle.result()).toMatchObject({ planSkipped: 1, counts: { succeeded: 1 } });
});

test('waiting for a lock takes no place from the steps of the one that has it', async () => {
  const [one, two] = ['locked-one', 'locked-two'].map((name) => commands.pipeline(name, { lock: 'crm-project' }));
  one!.break(`${D16}.crm`);
  const first = await one!.startDay(D16);
  await one!.waiting(D16);
  const second = await two!.startDay(D16);
  await waitsForAnother(second);
  one!.mend(`${D16}.crm`);
  await one!.resolve(D16, { action: 'retry' });
  expect(await first.result()).toMatchObject({ status: 'fixed' });
  expect(await second.result()).toMatchObject({ status: 'succeeded' });
});

test('a night of catch-up takes no place from the backfill that it starts', async () => {
  const pipeline = commands.pipeline('night', { partition: { every: '1d', start: D16 } });
  const night = await commands.dayfill.temporal.workflow.start('catchUp', {
    workflowId: `${catchUpId('night')}-by-hand`,
    taskQueue: TASK_QUEUE,
    args: [{ pipeline: 'night', scheduledAt: `${D17}T02:00:00Z` }],
  });
  expect(await night.result()).toMatchObject({ partitions: [D16] });
  expect(await pipeline.backfill().result()).toMatchObject({ counts: { succeeded: 1 } });
});
