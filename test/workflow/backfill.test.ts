import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { addToBackfill, startBackfill } from '../../src/client/start.js';
import { partitionId, variantName } from '../../src/contracts/ids.js';
import { until } from '../stack/fixtures/processes.js';
import {
  activitiesOf,
  type CommandStack,
  currentDetails,
  failureOf,
  startCommandStack,
} from '../support/command-pipelines.js';

let commands: CommandStack;
beforeAll(async () => {
  commands = await startCommandStack();
});
afterAll(() => commands?.stop());

const [D16, D17, D18] = ['2025-07-16', '2025-07-17', '2025-07-18'] as const;
const THREE_DAYS = { from: D16, to: D18 };

describe('three days of two steps', () => {
  test('run in order, one at a time, each step once, and are in the ledger', async () => {
    const pipeline = commands.pipeline('in-order');
    const result = await pipeline.run({ ...THREE_DAYS, reason: 'a new source' });

    expect(result).toEqual({ pipeline: 'in-order', planSkipped: 0, counts: { succeeded: 3 } });
    const steps = [D16, D17, D18].flatMap((day) => [`${day}.crm`, `${day}.identity`]);
    expect(pipeline.log().map(({ word, step }) => `${word} ${step}`)).toEqual(
      steps.flatMap((step) => [`begin ${step}`, `end ${step}`]),
    );
    const rows = await pipeline.rows();
    expect(rows.map(({ partition, status, sequence }) => [partition, status, sequence])).toEqual([
      [D16, 'succeeded', 1],
      [D17, 'succeeded', 1],
      [D18, 'succeeded', 1],
    ]);
    expect(rows[0]).toMatchObject({
      pipeline: 'in-order',
      partitionStart: D16,
      partitionEnd: D16,
      workflowId: 'in-order/2025-07-16',
      reason: 'a new source',
      decisions: [],
    });
    expect(rows[0]!.steps).toMatchObject([
      { id: 'crm', status: 'succeeded', attempts: 1, remedies: [], failure: null },
      { id: 'identity', status: 'succeeded', attempts: 1, remedies: [], failure: null },
    ]);
    expect(rows[0]!.steps[0]!.log).toMatch(/^logs\/in-order\/2025-07-16\/crm-/);
    expect(rows[0]!.sourceAsOf <= rows[0]!.recordedAt).toBe(true);
    expect(await pipeline.day(D16).result()).toEqual({
      pipeline: 'in-order',
      partition: D16,
      status: 'succeeded',
      message: 'date 2025-07-16 ingestion all done',
      costUsd: null,
      row: rows[0],
    });
  });

  test('can be found and read in the Web UI', async () => {
    const pipeline = commands.pipeline('in-the-ui');
    const handle = await startBackfill(commands.dayfill, { pipeline: 'in-the-ui', ...THREE_DAYS });
    await handle.result();

    const parent = await pipeline.backfill().describe();
    expect(parent.typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value])).toEqual(
      expect.arrayContaining([
        ['DayfillPipeline', 'in-the-ui'],
        ['DayfillStatus', 'succeeded'],
      ]),
    );
    expect(await parent.staticSummary()).toBe('in-the-ui · 2025-07-16 to 2025-07-18');
    const day = await pipeline.day(D17).describe();
    expect(await day.staticSummary()).toBe('in-the-ui · 2025-07-17');
    const attributes = Object.fromEntries(
      day.typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]),
    );
    expect(attributes).toMatchObject({
      DayfillPipeline: 'in-the-ui',
      DayfillPartition: D17,
      DayfillStatus: 'succeeded',
      DayfillStep: 'identity',
    });
    expect(await activitiesOf(pipeline.day(D16))).toEqual([
      { type: 'command', summary: '2025-07-16 · CRM ingestion' },
      { type: 'command', summary: '2025-07-16 · identity' },
    ]);
    const [planned, ...written] = await activitiesOf(handle);
    expect(planned).toMatchObject({ type: 'plan' });
    expect(written[0]).toEqual({ type: 'recordLedger', summary: '2025-07-16 · ledger: succeeded' });
    expect(await currentDetails(handle)).toMatch(
      /^\*\*3 of 3\*\* partitions done; backfill \*\*succeeded\*\*\n\n\d+\.\d s each$/,
    );
    await until('the days to be found by their search attribute', async () => {
      const query = 'DayfillPipeline = "in-the-ui" AND WorkflowType = "partition" AND DayfillStatus = "succeeded"';
      return (await commands.dayfill.temporal.workflow.count(query)).count === 3;
    });
  });

  test('are not run again, unless forced', async () => {
    const pipeline = commands.pipeline('again');
    await pipeline.run(THREE_DAYS);

    expect(await pipeline.run(THREE_DAYS)).toEqual({ pipeline: 'again', planSkipped: 3, counts: {} });
    expect(pipeline.began()).toHaveLength(6);
    const forced = await pipeline.run({ partitions: [D17], force: true });
    expect(forced).toEqual({ pipeline: 'again', planSkipped: 0, counts: { succeeded: 1 } });
    expect(pipeline.began().slice(6)).toEqual([`${D17}.crm`, `${D17}.identity`]);
  });
});

test('a failed step is shown on the parent and on the day, with the exact answers to paste', async () => {
  const pipeline = commands.pipeline('shown');
  pipeline.break(`${D17}.crm`);
  const handle = await pipeline.start(THREE_DAYS);
  const failure = await pipeline.waiting(D17);
  const progress = await pipeline.until('the waiting day', ({ status }) => status === 'waiting');

  expect(progress).toMatchObject({ total: 3, pending: [D18], ended: { [D16]: 'succeeded' } });
  expect(progress.live[D17]).toEqual({
    status: 'waiting',
    step: 'crm',
    failure: { id: failure.id, message: failure.message, fingerprint: failure.fingerprint },
    costUsd: null,
  });
  const parentDetails = await currentDetails(handle);
  expect(parentDetails).toContain('**1 of 3** partitions done; backfill **waiting**');
  expect(parentDetails).toContain('[2025-07-17](/namespaces/{namespace}/workflows/shown%2F2025-07-17) at `crm`');
  const dayDetails = await currentDetails(pipeline.day(D17));
  expect(dayDetails).toContain('Step `crm` failed (exit_code, fingerprint `' + failure.fingerprint + '`)');
  expect(dayDetails).toContain('found the source locked by nobody');
  for (const action of ['retry', 'skipStep', 'skip', 'abort']) {
    expect(dayDetails).toContain(`{"action":"${action}","failure":"${failure.id}"}`);
  }
  expect(dayDetails).toContain(failure.log);
  expect((await pipeline.day(D17).describe()).typedSearchAttributes.getAll()).toEqual(
    expect.arrayContaining([expect.objectContaining({ value: 'waiting' })]),
  );

  pipeline.mend(`${D17}.crm`);
  const pasted = dayDetails.split('\n').find((line) => line.startsWith('{"action":"retry"'))!;
  await pipeline.resolve(D17, JSON.parse(pasted));
  expect(await handle.result()).toMatchObject({ counts: { succeeded: 2, fixed: 1 } });
});

describe('more and fewer partitions', () => {
  test('add takes more in, in their order, and says what it left out', async () => {
    const pipeline = commands.pipeline('added');
    pipeline.hold(`${D17}.crm`);
    const handle = await pipeline.start({ partitions: [D17, '2025-07-20'] });
    await pipeline.hasBegun(`${D17}.crm`);

    const receipt = await pipeline.add({ from: D16, to: D18 });
    expect(receipt.added).toEqual([D16, D18]);
    expect(receipt.skipped).toEqual([{ partition: D17, action: 'skip', reason: 'already in this backfill' }]);
    expect(await pipeline.progress()).toMatchObject({ total: 4, pending: [D16, D18, '2025-07-20'] });
    const rejected = async (add: object) => {
      const error = await pipeline.add(add).catch((reason) => reason);
      return error.cause?.message;
    };
    expect(await rejected({ partitions: ['2024-01-01'] })).toMatch(/2024-01-01/);
    expect(await rejected({ from: D16 })).toBe('The partitions to add are not usable: give both from and to.');
    expect(await rejected({ from: D16, to: D16, force: true })).toMatch(/not usable: .*force/);

    pipeline.release(`${D17}.crm`);
    expect(await handle.result()).toMatchObject({ counts: { succeeded: 4 } });
    expect(pipeline.began().filter((step) => step.endsWith('crm'))).toEqual(
      [D17, D16, D18, '2025-07-20'].map((day) => `${day}.crm`),
    );
  });

  test('addToBackfill adds to the one that runs, or starts one', async () => {
    const pipeline = commands.pipeline('add-or-start');
    expect(await addToBackfill(commands.dayfill, 'add-or-start', { partitions: [D16] })).toEqual({
      added: [D16],
      skipped: [],
    });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { succeeded: 1 } });

    pipeline.hold(`${D17}.crm`);
    expect(await addToBackfill(commands.dayfill, 'add-or-start', { from: D16, to: D17 })).toEqual({
      added: [D17],
      skipped: [{ partition: D16, action: 'skip', reason: 'already succeeded' }],
    });
    await pipeline.hasBegun(`${D17}.crm`);
    const receipt = await addToBackfill(commands.dayfill, 'add-or-start', { from: D16, to: D18 });
    expect(receipt.added).toEqual([D18]);
    expect(receipt.skipped).toContainEqual({ partition: D16, action: 'skip', reason: 'already succeeded' });
    pipeline.release(`${D17}.crm`);
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { succeeded: 2 } });
    expect(pipeline.began()).toHaveLength(6);
  });

  test('exclude leaves days out and order desc begins at the end', async () => {
    const pipeline = commands.pipeline('descending');
    const result = await pipeline.run({ from: '2025-07-15', to: D18, exclude: [D17], order: 'desc' });
    expect(result).toEqual({ pipeline: 'descending', planSkipped: 1, counts: { succeeded: 3 } });
    expect(pipeline.began().filter((step) => step.endsWith('crm'))).toEqual(
      [D18, D16, '2025-07-15'].map((day) => `${day}.crm`),
    );
  });
});

describe('fromStep', () => {
  test('is refused unless the steps before it succeeded', async () => {
    const pipeline = commands.pipeline('from-step-early');
    expect(await failureOf(await pipeline.start({ partitions: [D16], fromStep: 'identity' }))).toEqual({
      type: 'BadInput',
      message: '2025-07-16 cannot begin at a later step: its step crm never ran; run it from the start.',
    });
    const single = await failureOf(await pipeline.startDay(D16, { fromStep: 'identity' }));
    expect(single).toMatchObject({ type: 'BadInput', message: expect.stringContaining('its step crm never ran') });
    const unknown = await failureOf(await pipeline.start({ partitions: [D16], fromStep: 'nothing' }));
    expect(unknown.message).toBe('from-step-early has no step "nothing"; expected one of crm, identity.');
    expect(pipeline.began()).toEqual([]);
    expect(await pipeline.rows()).toEqual([]);
  });

  test('runs the rest, and the ledger keeps the steps before it', async () => {
    const pipeline = commands.pipeline('from-step');
    await pipeline.run({ partitions: [D16] });
    const result = await pipeline.run({ partitions: [D16], fromStep: 'identity', force: true });
    expect(result.counts).toEqual({ succeeded: 1 });
    expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.identity`, `${D16}.identity`]);
    const row = (await pipeline.rows()).at(-1)!;
    expect(row.steps.map(({ id, status, attempts }) => [id, status, attempts])).toEqual([
      ['crm', 'succeeded', 0],
      ['identity', 'succeeded', 1],
    ]);
  });
});

test('chunks of days run like days, and a range that cuts one names it', async () => {
  const pipeline = commands.pipeline('chunks', { partition: { every: '10d', start: '2025-07-01' } });
  const result = await pipeline.run({ from: '2025-07-01', to: '2025-07-20' });
  expect(result).toMatchObject({ counts: { succeeded: 2 } });
  const chunks = ['2025-07-01..2025-07-10', '2025-07-11..2025-07-20'];
  expect(pipeline.began()).toEqual(chunks.flatMap((chunk) => [`${chunk}.crm`, `${chunk}.identity`]));
  expect((await pipeline.rows())[1]).toMatchObject({
    partition: chunks[1],
    partitionStart: '2025-07-11',
    partitionEnd: '2025-07-20',
    workflowId: `chunks/${chunks[1]}`,
  });
  const refusal = await failureOf(await pipeline.start({ from: '2025-07-01', to: '2025-07-15' }));
  expect(refusal).toMatchObject({ type: 'BadInput', message: expect.stringContaining(chunks[1]!) });
});

test('vars overridden at start make a variant with ids and a ledger of its own', async () => {
  const pipeline = commands.pipeline('variants', {
    vars: { client: { default: 'talbots', overridable: true, pattern: '[a-z]+' }, fixed: 'yes' },
  });
  const vars = { client: 'scratch' };
  const result = await pipeline.run({ partitions: [D16], vars });

  const variant = variantName('variants', vars);
  expect(variant).toMatch(/^variants~[0-9a-f]{8}$/);
  expect(result).toEqual({ pipeline: variant, planSkipped: 0, counts: { succeeded: 1 } });
  expect(await pipeline.rows()).toEqual([]);
  expect(await pipeline.rows(vars)).toMatchObject([
    { pipeline: variant, workflowId: partitionId('variants', D16, vars), status: 'succeeded' },
  ]);
  expect(await pipeline.run({ partitions: [D16] })).toMatchObject({ pipeline: 'variants', counts: { succeeded: 1 } });

  const refusal = async (given: Record<string, string>) =>
    (await failureOf(await pipeline.start({ partitions: [D16], vars: given }))).message;
  expect(await refusal({ fixed: 'no' })).toBe(
    'The var fixed of variants is fixed; mark it overridable: true in the pipeline file.',
  );
  expect(await refusal({ client: '$(id)' })).toMatch(/^The var client must match \[a-z\]\+/);
});

test('input that does not fit fails with one sentence and leaves no trace', async () => {
  const pipeline = commands.pipeline('unfit');
  const message = async (input: Parameters<typeof pipeline.start>[0]) => {
    const failure = await failureOf(await pipeline.start(input));
    expect(failure.type).toBe('BadInput');
    return failure.message;
  };
  expect(await message({ from: D18, to: D16 })).toMatch(/2025-07-18.*2025-07-16/);
  expect(await message({ from: '2025-02-30', to: D16 })).toMatch(/2025-02-30/);
  expect(await message({ partitions: ['2024-01-01'] })).toMatch(/2024-01-01/);
  expect(await message({ from: D16 })).toBe('The input is not usable: give both from and to.');
  expect(await message({ partitions: [D16], concurrency: 2 })).toMatch(/parallel_safe: true/);
  expect(await message({ partitions: [D16], onFailure: 'park' })).toMatch(/parallel_safe: true/);
  expect(await message({ partitions: [D16], command: ['rm'] } as never)).toMatch(/not usable: .*command/);
  expect(pipeline.began()).toEqual([]);
  expect(await pipeline.rows()).toEqual([]);
});
