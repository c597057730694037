import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { resolveAlike } from '../../src/client/alike.js';
import type { AlikeInput, AlikeReceipt } from '../../src/contracts/decision.js';
import { until } from '../stack/fixtures/processes.js';
import {
  type CommandPipeline,
  type CommandStack,
  currentDetails,
  startCommandStack,
} from '../support/command-pipelines.js';

let commands: CommandStack;
beforeAll(async () => {
  commands = await startCommandStack();
});
afterAll(() => commands?.stop());

const [D16, D17, D18, D19] = ['2025-07-16', '2025-07-17', '2025-07-18', '2025-07-19'] as const;

function alike(pipeline: CommandPipeline, input: AlikeInput): Promise<AlikeReceipt> {
  return pipeline.backfill().executeUpdate('resolveAlike', { args: [input] });
}

async function refusal(answer: Promise<unknown>): Promise<string> {
  try {
    await answer;
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) return error.cause!.message;
    return (error as Error).message;
  }
  throw new Error('it was not refused');
}

describe('one decision for every failure alike', () => {
  test('is refused until it has healed one partition, then stands for later ones', async () => {
    const pipeline = commands.pipeline('canary');
    for (const day of [D16, D18, D19]) pipeline.break(`${day}.crm`);
    await pipeline.start({ from: D16, to: D19 });
    const { fingerprint, id } = await pipeline.waiting(D16);
    expect(await refusal(alike(pipeline, { fingerprint }))).toMatch(
      /^No partition of canary with the fingerprint [0-9a-f]{12} has been healed yet: decide one of them first/,
    );
    expect(await pipeline.state(D16)).toMatchObject({ status: 'waiting', failure: { id } });

    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry', by: 'ann' });
    const second = await pipeline.waiting(D18);
    expect(second.fingerprint).toBe(fingerprint);
    expect(await refusal(alike(pipeline, { fingerprint, action: 'fix', file: 'fixes/x.sql' }))).toMatch(
      /was healed by that decision, but 2025-07-16 by retry/,
    );
    pipeline.mend(`${D18}.crm`);
    pipeline.mend(`${D19}.crm`);
    pipeline.break(`${D19}.identity`);
    expect(await alike(pipeline, { fingerprint, by: 'ann', note: 'files were sent again' })).toEqual({
      fingerprint,
      action: 'retry',
      canary: D16,
      released: [D18],
      stands: true,
    });
    // Another failure is another incident, which nothing stands for.
    const other = await pipeline.waiting(D19);
    expect(other).toMatchObject({ step: 'identity' });
    expect(other.fingerprint).not.toBe(fingerprint);
    pipeline.mend(`${D19}.identity`);
    await pipeline.resolve(D19, { action: 'retry' });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { fixed: 3, succeeded: 1 } });
    const row = (await pipeline.rows()).find(({ partition, status }) => partition === D18 && status === 'fixed')!;
    expect(row.decisions).toMatchObject([
      { action: 'retry', way: 'all_alike', decidedBy: 'ann', note: 'files were sent again', fingerprint },
    ]);
  });

  test('answers a later failure without being asked, and leaves one that it does not heal to a person', async () => {
    const pipeline = commands.pipeline('stands');
    for (const day of [D16, D17, D18]) pipeline.break(`${day}.crm`);
    await pipeline.start({ from: D16, to: D18 });
    const { fingerprint } = await pipeline.waiting(D16);
    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    const before = await pipeline.waiting(D17);
    expect((await alike(pipeline, { fingerprint })).released).toEqual([D17]);
    const again = await pipeline.waiting(D17, before);
    expect(again.fingerprint).toBe(fingerprint);
    expect(pipeline.began().filter((step) => step === `${D17}.crm`)).toHaveLength(2);
    pipeline.hold(`${D18}.crm`);
    pipeline.mend(`${D17}.crm`);
    await pipeline.resolve(D17, { action: 'retry', failure: again.id });

    await pipeline.hasBegun(`${D18}.crm`);
    pipeline.release(`${D18}.crm`);
    await until('the second try of the last day', () => pipeline.began().filter((step) => step === `${D18}.crm`)[1]);
    const last = await pipeline.waiting(D18);
    pipeline.mend(`${D18}.crm`);
    await pipeline.resolve(D18, { action: 'retry', failure: last.id });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { fixed: 3 } });
  });

  test('releases parked partitions whose backfill has ended', async () => {
    const pipeline = commands.pipeline('parked', { parallel_safe: true });
    for (const day of [D16, D17, D18]) pipeline.break(`${day}.crm`);
    await (await pipeline.start({ from: D16, to: D18, onFailure: 'park' })).result();
    const { fingerprint } = await pipeline.waiting(D16);
    for (const day of [D17, D18]) await pipeline.waiting(day);
    expect(await refusal(resolveAlike(commands.dayfill, 'parked', { fingerprint }))).toMatch(/has been healed yet/);
    for (const day of [D16, D17, D18]) pipeline.mend(`${day}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    await pipeline.day(D16).result();

    const receipt = await resolveAlike(commands.dayfill, 'parked', { fingerprint, by: 'ann' });
    expect(receipt).toMatchObject({ canary: D16, stands: false });
    expect([...receipt.released].sort()).toEqual([D17, D18]);
    for (const day of [D17, D18]) expect(await pipeline.day(day).result()).toMatchObject({ status: 'fixed' });
    expect(await refusal(resolveAlike(commands.dayfill, 'parked', { fingerprint }))).toMatch(
      /^No partition of parked waits/,
    );
  });

  test('cannot be sent by anyone to a failure that it is not for', async () => {
    const pipeline = commands.pipeline('order');
    pipeline.break(`${D16}.crm`);
    await pipeline.start({ partitions: [D16] });
    const { id, fingerprint } = await pipeline.waiting(D16);
    for (const order of [
      null,
      {},
      { fingerprint, failure: 'ffffffff-1' },
      { fingerprint: '0123456789ab', failure: id },
    ]) {
      await pipeline.day(D16).signal('standingOrder', order);
    }
    await pipeline.day(D16).signal('standingOrder', { fingerprint, failure: id }); // nothing was healed so
    expect(await pipeline.state(D16)).toMatchObject({ status: 'waiting', failure: { id }, decisions: [] });
    pipeline.mend(`${D16}.crm`);
    await until('a decision to be taken', async () => {
      try {
        return await pipeline.resolve(D16, { action: 'retry' });
      } catch {
        return null; // the signal is being looked at
      }
    });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { fixed: 1 } });
  });
});

describe('decide_within', () => {
  test('decides when nobody has, and says so', async () => {
    const pipeline = commands.pipeline('nobody', { decide_within: { time: '1s', action: 'skip' } });
    pipeline.break(`${D16}.crm`);
    const handle = await pipeline.start({ from: D16, to: D17 });
    await pipeline.waiting(D16);
    expect(await currentDetails(pipeline.day(D16))).toMatch(/Without an answer 2025-07-16 is decided on at 20/);
    expect(await handle.result()).toMatchObject({ counts: { skipped: 1, succeeded: 1 } });
    const row = (await pipeline.rows()).find(({ status }) => status === 'skipped')!;
    expect(row.decisions).toMatchObject([
      { action: 'skip', way: 'decide_within', decidedBy: null, note: 'nobody decided within 1 s' },
    ]);
  });

  test('is out of the way once someone has decided', async () => {
    const pipeline = commands.pipeline('in-time', { decide_within: { time: '20s', action: 'abort' } });
    pipeline.break(`${D16}.crm`);
    const handle = await pipeline.start({ partitions: [D16] });
    await pipeline.waiting(D16);
    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    expect(await handle.result()).toMatchObject({ counts: { fixed: 1 } });
    const { events } = await pipeline.day(D16).fetchHistory();
    expect(events!.filter((event) => event.timerCanceledEventAttributes != null)).toHaveLength(1);
  });
});
