import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execa } from 'execa';
import type { Progress } from '../../src/contracts/backfill.js';
import { temporalBinary } from '../stack/fixtures/temporal-binary.js';
import { type CommandStack, failureOf, startCommandStack } from '../support/command-pipelines.js';

let commands: CommandStack;
beforeAll(async () => {
  commands = await startCommandStack();
});
afterAll(() => commands?.stop());

const [D16, D17, D18] = ['2025-07-16', '2025-07-17', '2025-07-18'] as const;

/** Runs `temporal workflow …` against the test's server; gives what it prints, and throws with what it complains of. */
async function temporalWorkflow(...args: string[]): Promise<string> {
  const address = commands.stack.config().stackTemporal!;
  const { stdout } = await execa(temporalBinary(), ['workflow', ...args, '--address', address], {
    env: commands.stack.env,
    extendEnv: false,
  });
  return stdout;
}

function start(workflowId: string, type: 'backfill' | 'partition', ...inputs: string[]): Promise<string> {
  const given = inputs.flatMap((input) => ['-i', input]);
  return temporalWorkflow('start', '-w', workflowId, '--type', type, '-t', 'dayfill', ...given);
}

async function progressOf(workflowId: string): Promise<Progress> {
  const printed = await temporalWorkflow('query', '-w', workflowId, '--type', 'progress', '-o', 'json');
  return JSON.parse(printed).queryResult[0];
}

test('start, query, update and signal are all that a backfill needs', async () => {
  const pipeline = commands.pipeline('by-hand');
  pipeline.break(`${D17}.crm`);
  pipeline.break(`${D18}.identity`);
  await start('backfill/by-hand', 'backfill', `{"pipeline":"by-hand","from":"${D16}","to":"${D18}"}`);

  await pipeline.waiting(D17);
  await pipeline.until('the waiting day', ({ status }) => status === 'waiting');
  expect(await progressOf('backfill/by-hand')).toMatchObject({
    pipeline: 'by-hand',
    status: 'waiting',
    total: 3,
    ended: { [D16]: 'succeeded' },
    live: { [D17]: { status: 'waiting', step: 'crm' } },
    pending: [D18],
  });
  pipeline.mend(`${D17}.crm`);
  const updated = await temporalWorkflow(
    ...['update', 'execute', '-w', `by-hand/${D17}`, '--name', 'resolve'],
    ...['-i', '{"action":"retry","note":"fixed"}', '-o', 'json'],
  );
  expect(JSON.parse(updated)).toMatchObject({ result: { accepted: true, action: 'retry' } });

  await pipeline.waiting(D18);
  pipeline.mend(`${D18}.identity`);
  await temporalWorkflow('signal', '-w', `by-hand/${D18}`, '--name', 'resolve', '-i', '{"action":"retry"}');
  expect(await pipeline.backfill().result()).toEqual({
    pipeline: 'by-hand',
    planSkipped: 0,
    counts: { succeeded: 1, fixed: 2 },
  });
  expect((await pipeline.recorded()).filter((line) => !line.endsWith('waiting'))).toEqual([
    `${D16} succeeded`,
    `${D17} fixed`,
    `${D18} fixed`,
  ]);
  const decided = (await pipeline.rows()).find(({ partition, status }) => partition === D17 && status === 'fixed')!;
  expect(decided.decisions).toMatchObject([{ action: 'retry', note: 'fixed' }]);
});

test('a day can be started alone', async () => {
  const pipeline = commands.pipeline('one-day');
  await start(`one-day/${D16}`, 'partition', `{"pipeline":"one-day","partition":"${D16}"}`);
  expect(await pipeline.day(D16).result()).toMatchObject({ message: 'date 2025-07-16 ingestion all done' });
  expect(await pipeline.recorded()).toEqual([`${D16} succeeded`]);
  expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.identity`]);
});

test('a second start runs nothing and names the run that is there', async () => {
  const pipeline = commands.pipeline('started-twice');
  pipeline.hold(`${D16}.crm`);
  const backfill = () =>
    start('backfill/started-twice', 'backfill', `{"pipeline":"started-twice","partitions":["${D16}"]}`);
  const day = () => start(`started-twice/${D16}`, 'partition', `{"pipeline":"started-twice","partition":"${D16}"}`);
  const runId = (printed: string) => /RunId +(\S+)/.exec(printed)![1];
  const first = runId(await backfill());
  await pipeline.hasBegun(`${D16}.crm`);
  expect(runId(await backfill())).toBe(first);
  expect(runId(await day())).toBe((await pipeline.day(D16).describe()).runId);
  pipeline.release(`${D16}.crm`);
  await pipeline.backfill().result();
  expect(pipeline.began()).toHaveLength(2);
});

test('a rejected update says why and exits with an error', async () => {
  const pipeline = commands.pipeline('rejecting');
  pipeline.break(`${D16}.crm`);
  await start(`rejecting/${D16}`, 'partition', `{"pipeline":"rejecting","partition":"${D16}"}`);
  const failure = await pipeline.waiting(D16);
  const resolve = (input: string) =>
    temporalWorkflow('update', 'execute', '-w', `rejecting/${D16}`, '--name', 'resolve', '-i', input);
  await expect(resolve('{"action":"delete"}')).rejects.toThrow(/The decision is not usable: action: /);
  const stale = await resolve('{"action":"skip","failure":"old-1"}').catch((error) => error.message);
  expect(stale.replaceAll('\\', '')).toContain(`The decision answers failure "old-1", but "${failure.id}" is waiting.`);
  await resolve('{"action":"skip"}');
  expect(await pipeline.day(D16).result()).toMatchObject({ status: 'skipped' });
});

test('a second object of input is refused: nobody hands a backfill a past that it did not have', async () => {
  const pipeline = commands.pipeline('two-inputs');
  const past = `{"pipeline":"two-inputs","pending":["${D17}"],"live":{},"ended":{"${D16}":"succeeded"}}`;
  for (const second of [past, 'null', '7']) {
    await start('backfill/two-inputs', 'backfill', `{"pipeline":"two-inputs","partitions":["${D16}"]}`, second);
    expect(await failureOf(pipeline.backfill())).toEqual({
      type: 'BadInput',
      message: 'The input is not usable: a backfill takes one JSON object, not two.',
    });
  }
  expect(pipeline.began()).toEqual([]);
});

describe('what is refused with one sentence and no trace', () => {
  const good = `{"pipeline":"refusing","partitions":["${D16}"]}`;
  const day = `{"pipeline":"refusing","partition":"${D16}"}`;
  test.each([
    ['another workflow id', 'backfill/other', 'backfill', good, /must run under the workflow id "backfill\/refusing"/],
    ['an id without its folder', 'refusing', 'backfill', good, /must run under the workflow id "backfill\/refusing"/],
    ["another day's id", 'refusing/2025-07-17', 'partition', day, /workflow id "refusing\/2025-07-16"/],
    ['no object', 'backfill/refusing', 'backfill', '"refusing"', /^The input is not usable: .*expected object/],
    ['null', 'backfill/refusing', 'backfill', 'null', /^The input is not usable: .*expected object/],
    ['nothing asked for', 'backfill/refusing', 'backfill', '{"pipeline":"refusing"}', /from and to, or partitions/],
    ['a key too many', 'backfill/refusing', 'backfill', `{"run":"ls",${good.slice(1)}`, /not usable: .*"run"/],
    ['a path for a name', 'backfill/../x', 'backfill', good.replace('refusing', '../x'), /not usable: pipeline: /],
    ['no such day', 'refusing/2025-02-30', 'partition', day.replace(D16, '2025-02-30'), /2025-02-30/],
    ['no such pipeline', `nowhere/${D16}`, 'partition', day.replace('refusing', 'nowhere'), /nowhere/],
  ] as const)('%s', async (_what, workflowId, type, input, sentence) => {
    const pipeline = commands.pipeline('refusing');
    await start(workflowId, type, input);
    const failure = await failureOf(commands.dayfill.temporal.workflow.getHandle(workflowId));
    expect(failure.type).toBe('BadInput');
    expect(failure.message).toMatch(sentence);
    expect(failure.message).not.toContain('\n');
    expect(pipeline.began()).toEqual([]);
    expect(await pipeline.rows()).toEqual([]);
  });
});
