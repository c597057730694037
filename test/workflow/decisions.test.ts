import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import type { DecisionAction } from '../../src/contracts/decision.js';
import { until } from '../stack/fixtures/processes.js';
import { type CommandPipeline, type CommandStack, failureOf, startCommandStack } from '../support/command-pipelines.js';

let commands: CommandStack;
beforeAll(async () => {
  commands = await startCommandStack();
});
afterAll(() => commands?.stop());

const [D16, D17] = ['2025-07-16', '2025-07-17'] as const;
const TWO_DAYS = { from: D16, to: D17 };
const WAYS = ['update', 'signal'] as const;

/** Sends a decision the one way or the other. */
async function decide(way: (typeof WAYS)[number], pipeline: CommandPipeline, action: DecisionAction) {
  const decision = { action, note: 'looked at it', by: 'ann' };
  if (way === 'signal') await pipeline.day(D16).signal('resolve', decision);
  else return pipeline.resolve(D16, decision);
}

/** The reason for which an update was rejected. */
async function rejection(update: Promise<unknown>): Promise<string> {
  try {
    await update;
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) return error.cause!.message;
    throw error;
  }
  throw new Error('the update was accepted');
}

describe.each(WAYS)('by %s', (way) => {
  async function firstDayWaits(name: string): Promise<CommandPipeline> {
    const pipeline = commands.pipeline(`${name}-by-${way}`);
    pipeline.break(`${D16}.crm`);
    await pipeline.start(TWO_DAYS);
    await pipeline.waiting(D16);
    return pipeline;
  }

  test('retry runs the step again, the day is fixed and the next one follows', async () => {
    const pipeline = await firstDayWaits('retry');
    await until('the ledger to say that it waits', async () => (await pipeline.recorded()).includes(`${D16} waiting`));
    expect(pipeline.began()).toEqual([`${D16}.crm`]);
    const { id } = (await pipeline.state(D16)).failure!;

    pipeline.mend(`${D16}.crm`);
    const receipt = await decide(way, pipeline, 'retry');
    if (way === 'update') expect(receipt).toEqual({ accepted: true, failure: id, action: 'retry' });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { fixed: 1, succeeded: 1 } });
    expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.crm`, `${D16}.identity`, `${D17}.crm`, `${D17}.identity`]);
    expect(await pipeline.recorded()).toEqual([`${D16} waiting`, `${D16} fixed`, `${D17} succeeded`]);
    const row = (await pipeline.rows())[1]!;
    expect(row.steps[0]).toMatchObject({ id: 'crm', status: 'fixed', attempts: 2, failure: { id, kind: 'exit_code' } });
    expect(row.decisions).toMatchObject([
      { action: 'retry', failure: id, step: 'crm', note: 'looked at it', decidedBy: 'ann' },
    ]);
  });

  test('skipStep goes on with the next step, and the day is skipped', async () => {
    const pipeline = await firstDayWaits('skip-step');
    await decide(way, pipeline, 'skipStep');
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { skipped: 1, succeeded: 1 } });
    expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.identity`, `${D17}.crm`, `${D17}.identity`]);
    const row = (await pipeline.rows())[1]!;
    expect(row.status).toBe('skipped');
    expect(row.steps.map(({ id, status }) => [id, status])).toEqual([
      ['crm', 'skipped'],
      ['identity', 'succeeded'],
    ]);
  });

  test('skip leaves the rest of the day out', async () => {
    const pipeline = await firstDayWaits('skip');
    await decide(way, pipeline, 'skip');
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { skipped: 1, succeeded: 1 } });
    expect(pipeline.began()).toEqual([`${D16}.crm`, `${D17}.crm`, `${D17}.identity`]);
    expect(await pipeline.recorded()).toEqual([`${D16} waiting`, `${D16} skipped`, `${D17} succeeded`]);
  });

  test('abort ends the day failed and the backfill with it; later days are not started', async () => {
    const pipeline = await firstDayWaits('abort');
    await decide(way, pipeline, 'abort');
    expect(await failureOf(pipeline.backfill())).toEqual({
      type: 'BackfillFailed',
      message: '2025-07-16 failed and was not healed. 1 partition was not started.',
    });
    expect(pipeline.began()).toEqual([`${D16}.crm`]);
    expect(await pipeline.recorded()).toEqual([`${D16} waiting`, `${D16} failed`]);
    const { typedSearchAttributes } = await pipeline.backfill().describe();
    expect(typedSearchAttributes.getAll()).toContainEqual(expect.objectContaining({ value: 'failed' }));
  });
});

describe('what is not a decision', () => {
  test('an update is rejected with the reason, and changes nothing', async () => {
    const pipeline = commands.pipeline('rubbish-update');
    pipeline.break(`${D16}.crm`);
    await pipeline.start({ partitions: [D16] });
    const failure = await pipeline.waiting(D16);
    const rejected = (decision: unknown) => rejection(pipeline.resolve(D16, decision as never));

    expect(await rejected({ action: 'retry', failure: 'ffffffff-1' })).toBe(
      `The decision answers failure "ffffffff-1", but "${failure.id}" is waiting.`,
    );
    expect(await rejected(null)).toMatch(/^The decision is not usable: .*expected object/);
    expect(await rejected('retry')).toMatch(/^The decision is not usable: .*expected object/);
    expect(await rejected({ action: 'explode' })).toMatch(/^The decision is not usable: action: .*"retry"/);
    expect(await rejected({ action: 'retry', run: ['rm', '-rf', '/'] })).toMatch(
      /^The decision is not usable: .*"run"/,
    );
    expect(await rejected({ action: 'retry', note: 7 })).toMatch(/^The decision is not usable: note: /);
    expect(await rejected({})).toMatch(/^The decision is not usable: action: /);
    expect(await pipeline.state(D16)).toMatchObject({ status: 'waiting', decisions: [], failure: { id: failure.id } });

    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry', failure: failure.id });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { fixed: 1 } });
  });

  test('a signal is dropped, not queued, and so is one when nothing waits', async () => {
    const pipeline = commands.pipeline('rubbish-signal');
    pipeline.hold(`${D16}.crm`);
    pipeline.break(`${D16}.crm`);
    const handle = await pipeline.start({ partitions: [D16] });
    await pipeline.hasBegun(`${D16}.crm`);
    await pipeline.day(D16).signal('resolve', { action: 'skip' });
    expect(await rejection(pipeline.resolve(D16, { action: 'retry' }))).toBe('Nothing waits for a decision here.');
    pipeline.release(`${D16}.crm`);
    const failure = await pipeline.waiting(D16);

    for (const rubbish of [null, 'retry', 7, [], {}, { action: 'explode' }, { action: 'retry', run: ['ls'] }]) {
      await pipeline.day(D16).signal('resolve', rubbish);
    }
    await pipeline.day(D16).signal('resolve');
    await pipeline.day(D16).signal('resolve', { action: 'skip', failure: 'ffffffff-1' });
    await pipeline.day(D16).signal('no-such-signal', { action: 'skip' });
    for (const rubbish of [null, 'x', {}, { partition: D16, report: { status: 'done' } }]) {
      await handle.signal('partitionChanged', rubbish);
      await handle.signal('pause', rubbish);
      await handle.signal('resume', rubbish);
    }

    expect(await pipeline.state(D16)).toMatchObject({ status: 'waiting', decisions: [], failure: { id: failure.id } });
    expect(await pipeline.progress()).toMatchObject({ total: 1, live: { [D16]: { status: 'waiting' } } });
    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    expect(await handle.result()).toMatchObject({ counts: { fixed: 1 } });
    expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.crm`, `${D16}.identity`]);
  });

  test('a decision on the failure of an earlier run of the day changes nothing', async () => {
    const pipeline = commands.pipeline('stale');
    pipeline.break(`${D16}.crm`);
    const first = await pipeline.startDay(D16);
    const before = await pipeline.waiting(D16);
    await pipeline.resolve(D16, { action: 'abort' });
    await failureOf(first);
    await pipeline.startDay(D16);
    const failure = await pipeline.waiting(D16, before);

    expect(failure.fingerprint).toBe(before.fingerprint);
    expect(await rejection(pipeline.resolve(D16, { action: 'skip', failure: before.id }))).toBe(
      `The decision answers failure "${before.id}", but "${failure.id}" is waiting.`,
    );
    await pipeline.resolve(D16, { action: 'skip', failure: failure.id });
    expect(await pipeline.day(D16).result()).toMatchObject({ status: 'skipped' });
  });

  test('of two decisions on the same failure one counts, and the other is told so', async () => {
    const pipeline = commands.pipeline('twice');
    pipeline.break(`${D16}.crm`);
    await pipeline.start({ partitions: [D16] });
    const failure = await pipeline.waiting(D16);
    pipeline.mend(`${D16}.crm`);
    pipeline.hold(`${D16}.crm`);

    const both = [{ action: 'retry' } as const, { action: 'skip' } as const].map((decision) =>
      pipeline.resolve(D16, { ...decision, failure: failure.id }),
    );
    const outcomes = await Promise.allSettled(both);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const refused = outcomes.find((outcome) => outcome.status === 'rejected')!;
    expect(refused.reason.cause.message).toMatch(/has its decision already|Nothing waits for a decision/);
    pipeline.release(`${D16}.crm`);
    await pipeline.backfill().result();
    const row = (await pipeline.rows()).at(-1)!;
    expect(row.decisions).toHaveLength(1);
    expect(row.status).toBe(row.decisions[0]!.action === 'retry' ? 'fixed' : 'skipped');
  });
});

describe('the pipeline file', () => {
  test('is read again on retry', async () => {
    const pipeline = commands.pipeline('corrected', {});
    const steps = [{ id: 'crm', uses: 'command', with: { run: ['no-such-program-here'] } }];
    pipeline.write(pipeline.text({ steps }));
    const handle = await pipeline.startDay(D16);
    expect(await pipeline.waiting(D16)).toMatchObject({ kind: 'missing_executable', step: 'crm' });

    pipeline.write(pipeline.text({ steps: [pipeline.step('crm'), pipeline.step('added')] }));
    await pipeline.resolve(D16, { action: 'retry' });
    expect(await handle.result()).toMatchObject({ status: 'fixed' });
    expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.added`]);
  });

  test('makes the next day wait when it is broken meanwhile, and a correction and retry go on', async () => {
    const pipeline = commands.pipeline('broken-meanwhile');
    const good = pipeline.text();
    pipeline.poison(`${D16}.identity`, `${good}steps: [`);
    const handle = await pipeline.start(TWO_DAYS);
    const failure = await pipeline.waiting(D17);
    expect(failure).toMatchObject({ kind: 'pipeline', message: expect.stringContaining('pipeline.yaml') });
    expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.identity`]);

    await pipeline.resolve(D17, { action: 'retry' });
    const again = await pipeline.waiting(D17, failure);
    expect(again.message).toBe(failure.message);
    pipeline.write(good);
    await pipeline.resolve(D17, { action: 'retry' });
    expect(await handle.result()).toMatchObject({ counts: { succeeded: 1, fixed: 1 } });
    expect(pipeline.began().slice(2)).toEqual([`${D17}.crm`, `${D17}.identity`]);
  });

  test('makes the step wait when it is broken at the moment that the step fails', async () => {
    const pipeline = commands.pipeline('broken-at-failure');
    const good = pipeline.text();
    pipeline.poison(`${D16}.crm`, 'pipeline: [');
    pipeline.break(`${D16}.crm`);
    const handle = await pipeline.start({ partitions: [D16] });
    expect(await pipeline.waiting(D16)).toMatchObject({ kind: 'exit_code', step: 'crm' });

    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    const unreadable = await until('the file to be what waits', async () => {
      const { failure } = await pipeline.state(D16);
      return failure?.kind === 'pipeline' ? failure : null;
    });
    expect(unreadable.step).toBe('crm');
    pipeline.write(good.replace('end: 2025-08-31', 'end: 2025-07-15'));
    await pipeline.resolve(D16, { action: 'retry' });
    expect((await pipeline.waiting(D16, unreadable)).message).toMatch(/2025-07-16/);
    pipeline.write(good);
    await pipeline.resolve(D16, { action: 'retry' });
    expect(await handle.result()).toMatchObject({ counts: { fixed: 1 } });
  });

  test('ends a day that was started alone with one sentence when it cannot be used', async () => {
    const pipeline = commands.pipeline('broken-alone');
    pipeline.write('pipeline: [');
    const failure = await failureOf(await pipeline.startDay(D16));
    expect(failure).toMatchObject({ type: 'BadInput', message: expect.stringContaining('pipeline.yaml') });
    expect(await pipeline.rows()).toEqual([]);
  });
});

describe('remedies', () => {
  const withRemedies = (name: string, ...remedies: [id: string, more?: Record<string, unknown>][]) => {
    const pipeline = commands.pipeline(name);
    const list = remedies.map(([id, more]) => pipeline.remedy(id, 'crm', more));
    pipeline.write(pipeline.text({ steps: [pipeline.step('crm', { remedies: list }), pipeline.step('identity')] }));
    pipeline.break(`${D16}.crm`);
    return pipeline;
  };

  test('run, then the step again', async () => {
    const pipeline = withRemedies('then-retry', ['unlock']);
    expect(await pipeline.run(TWO_DAYS)).toMatchObject({ counts: { fixed: 1, succeeded: 1 } });
    expect(pipeline.began().slice(0, 4)).toEqual(['crm', 'unlock', 'crm', 'identity'].map((step) => `${D16}.${step}`));
    const [row] = await pipeline.rows();
    expect(row).toMatchObject({ status: 'fixed', decisions: [] });
    expect(row!.steps[0]).toMatchObject({ status: 'fixed', attempts: 2, remedies: ['unlock'] });
    expect(row!.steps[0]!.failure).toMatchObject({ kind: 'exit_code', exitCode: 7 });
  });

  test('stand in for the step with continue', async () => {
    const pipeline = withRemedies('then-continue', ['unlock', { then: 'continue' }]);
    expect(await pipeline.run({ partitions: [D16] })).toMatchObject({ counts: { fixed: 1 } });
    expect(pipeline.began()).toEqual(['crm', 'unlock', 'identity'].map((step) => `${D16}.${step}`));
    expect((await pipeline.rows())[0]!.steps[0]).toMatchObject({ status: 'fixed', attempts: 1 });
  });

  test('are tried as often as their attempts say, then a person is asked', async () => {
    const pipeline = commands.pipeline('attempts');
    const useless = { ...pipeline.remedy('useless', 'nothing'), attempts: 2 };
    pipeline.write(pipeline.text({ steps: [pipeline.step('crm', { remedies: [useless] })] }));
    pipeline.break(`${D16}.crm`);
    const handle = await pipeline.startDay(D16);
    await pipeline.waiting(D16);
    expect(pipeline.began()).toEqual(['crm', 'useless', 'crm', 'useless', 'crm'].map((step) => `${D16}.${step}`));
    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    expect(await handle.result()).toMatchObject({ status: 'fixed' });
    expect((await pipeline.rows()).at(-1)!.steps[0]!.remedies).toEqual(['useless', 'useless']);
  });

  test('that fail make the step wait', async () => {
    const pipeline = withRemedies('failing-remedy', ['unlock']);
    pipeline.break(`${D16}.unlock`);
    const handle = await pipeline.startDay(D16);
    const failure = await pipeline.waiting(D16);
    expect(failure).toMatchObject({ step: 'crm', message: expect.stringContaining('2025-07-16.unlock found') });
    expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.unlock`]);
    await pipeline.resolve(D16, { action: 'skip' });
    expect(await handle.result()).toMatchObject({ status: 'skipped', message: 'date 2025-07-16 was skipped' });
  });
});
