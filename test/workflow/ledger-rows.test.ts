import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { knownDue } from '../../src/client/due.js';
import { cancelBackfill } from '../../src/client/start.js';
import { partitionView, pipelineStatus } from '../../src/client/status.js';
import { progressQuery } from '../../src/contracts/messages.js';
import { until } from '../stack/fixtures/processes.js';
import { activitiesOf, type CommandStack, startCommandStack } from '../support/command-pipelines.js';

let commands: CommandStack;
beforeAll(async () => {
  commands = await startCommandStack();
});
afterAll(() => commands?.stop());

const [D16, D17, D18] = ['2025-07-16', '2025-07-17', '2025-07-18'] as const;
const THREE_DAYS = { from: D16, to: D18 };
const typesOf = async (activities: ReturnType<typeof activitiesOf>) => (await activities).map(({ type }) => type);

test('a day that waited for someone writes its own rows, by activities', async () => {
  const pipeline = commands.pipeline('waited');
  pipeline.break(`${D17}.crm`);
  const handle = await pipeline.start(THREE_DAYS);
  await pipeline.waiting(D17);
  await until('both rows', async () => (await pipeline.recorded()).length === 2);
  pipeline.mend(`${D17}.crm`);
  await pipeline.resolve(D17, { action: 'retry' });
  await handle.result();
  expect(await pipeline.recorded()).toEqual([`${D16} succeeded`, `${D17} waiting`, `${D17} fixed`, `${D18} succeeded`]);
  const written = (await typesOf(activitiesOf(pipeline.day(D17)))).filter((type) => type === 'recordLedger');
  expect(written).toHaveLength(2);
  expect(await pipeline.day(D17).result()).not.toHaveProperty('row');
});

test('a row that the warehouse does not take at once is an activity that people see, until it does', async () => {
  const pipeline = commands.pipeline('stuck-ledger');
  pipeline.hold(`${D16}.identity`);
  const handle = await pipeline.startDay(D16);
  await pipeline.hasBegun(`${D16}.identity`);
  const warehouse = await commands.stack.pid('bigquery');
  process.kill(warehouse, 'SIGSTOP');
  try {
    pipeline.release(`${D16}.identity`);
    await until('the ledger is written by an activity', async () => {
      const { raw } = await handle.describe();
      return raw.pendingActivities?.[0]?.activityType?.name === 'recordLedger';
    });
  } finally {
    process.kill(warehouse, 'SIGCONT');
  }
  await handle.result();
  expect(await pipeline.recorded()).toEqual([`${D16} succeeded`]);
});

test('a backfill that is cancelled leaves the rows of all its days', async () => {
  const pipeline = commands.pipeline('cut-off');
  pipeline.hold(`${D18}.identity`);
  const handle = await pipeline.start(THREE_DAYS);
  await pipeline.hasBegun(`${D18}.identity`);
  await cancelBackfill(commands.dayfill, 'cut-off', 'now');
  await expect(handle.result()).rejects.toThrow();
  expect(await pipeline.recorded()).toEqual([`${D16} succeeded`, `${D17} succeeded`, `${D18} failed`]);
});

test('while rows are still to be written, their days are in the status, and none is missing', async () => {
  const pipeline = commands.pipeline('watched');
  const days = Array.from({ length: 25 }, (_, n) => `2025-07-${String(n + 1).padStart(2, '0')}`);
  const handle = await pipeline.start({ from: days[0], to: days.at(-1) });
  await until('the plan', async () => (await handle.query(progressQuery)).total === days.length);
  let done: string[] = [];
  for (let state = 'running'; state !== 'idle'; ) {
    const [status, due] = await Promise.all([
      pipelineStatus(commands.dayfill, 'watched'),
      knownDue(commands.dayfill, 'watched'),
    ]);
    expect(status.partitions.map(({ partition }) => partition)).toEqual(days);
    const doneNow = days.filter((_, n) => status.partitions[n]!.status === 'succeeded');
    expect(doneNow).toEqual(expect.arrayContaining(done));
    expect(days.filter((day) => due.missing!.includes(day))).toEqual([]);
    const last = doneNow.at(-1);
    if (last !== undefined) {
      expect(await partitionView(commands.dayfill, 'watched', last)).toMatchObject({
        status: 'succeeded',
        steps: [{ status: 'succeeded' }, { status: 'succeeded' }],
      });
    }
    ({ state } = status);
    done = doneNow;
  }
  await handle.result();
  expect(done).toEqual(days);
});
