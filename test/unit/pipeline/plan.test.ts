import { describe, expect, it } from '@jest/globals';
import type { BackfillInput } from '../../../src/contracts/backfill.js';
import { PARTITION_STATUSES, type PartitionStatus } from '../../../src/contracts/status.js';
import type { Json } from '../../../src/contracts/step.js';
import { PartitionError } from '../../../src/pipeline/errors.js';
import { checkPreviousStates, type LatestPartition, planPartitions, stateBefore } from '../../../src/pipeline/plan.js';
import { pipeline, step } from './definitions.js';

const range: BackfillInput = { pipeline: 'talbots', from: '2025-07-16', to: '2025-07-18' };

function known(
  entries: Record<string, PartitionStatus>,
  crm: PartitionStatus = 'succeeded',
): Map<string, LatestPartition> {
  return new Map(
    Object.entries(entries).map(([key, status]) => [
      key,
      {
        status,
        sourceAsOf: '2025-07-20T03:00:00.000Z',
        steps: [
          { id: 'crm', status: crm },
          { id: 'identity', status },
        ],
      },
    ]),
  );
}

/** The plan as lines, e.g. `2025-07-16 run never run`. */
function lines(input: Partial<BackfillInput>, latest = known({}), definition = pipeline()): string[] {
  const { partitions } = planPartitions(definition, { ...range, ...input }, latest);
  return partitions.map(({ partition, action, reason }) => `${partition} ${action} ${reason}`);
}

describe('what runs and why', () => {
  it('takes the defaults of the file', () => {
    expect(planPartitions(pipeline(), range, new Map())).toEqual({
      pipeline: 'talbots',
      concurrency: 1,
      budgetUsd: null,
      onFailure: 'wait',
      notifies: false,
      partitions: ['2025-07-16', '2025-07-17', '2025-07-18'].map((partition) => ({
        partition,
        action: 'run',
        reason: 'never run',
      })),
    });
    const parallel = pipeline({ parallelSafe: true, concurrency: 4, onFailure: 'park' });
    expect(planPartitions(parallel, range, new Map())).toMatchObject({ concurrency: 4, onFailure: 'park' });
    expect(planPartitions(parallel, { ...range, concurrency: 2, onFailure: 'stop' }, new Map())).toMatchObject({
      concurrency: 2,
      onFailure: 'stop',
    });
  });

  it.each([
    ['pending', 'run never run'],
    ['running', 'run unfinished before'],
    ['waiting', 'run waiting before'],
    ['failed', 'run failed before'],
    ['succeeded', 'skip already succeeded'],
    ['fixed', 'skip already fixed'],
    ['skipped', 'skip skipped before'],
  ] as [PartitionStatus, string][])('one that is %s: %s', (status, expected) => {
    expect(lines({ to: '2025-07-16' }, known({ '2025-07-16': status }))).toEqual([`2025-07-16 ${expected}`]);
  });

  it.each(PARTITION_STATUSES)('force runs one that is %s', (status) => {
    expect(lines({ to: '2025-07-16', force: true }, known({ '2025-07-16': status }))).toEqual([
      '2025-07-16 run forced',
    ]);
  });

  it('keeps the order asked for', () => {
    expect(lines({ order: 'desc' }, known({ '2025-07-17': 'fixed' }))).toEqual([
      '2025-07-18 run never run',
      '2025-07-17 skip already fixed',
      '2025-07-16 run never run',
    ]);
  });

  it('puts given partitions in the order of the calendar, each once', () => {
    const { from: _from, to: _to, ...rest } = range;
    const input = { ...rest, partitions: ['2025-07-18', '2025-07-16', '2025-07-18'] };
    expect(planPartitions(pipeline(), input, new Map()).partitions.map(({ partition }) => partition)).toEqual([
      '2025-07-16',
      '2025-07-18',
    ]);
    const wrong = { ...rest, partitions: ['2025-02-30'] };
    expect(() => planPartitions(pipeline(), wrong, new Map())).toThrow('2025-02-30 is not a date that exists.');
  });

  it('leaves out what is excluded, even by force', () => {
    expect(lines({ exclude: ['2025-07-17'], force: true })).toEqual([
      '2025-07-16 run forced',
      '2025-07-17 skip excluded',
      '2025-07-18 run forced',
    ]);
  });
});

describe('stale', () => {
  const changes = new Map([
    ['2025-07-16', '2025-07-20T03:00:00.000Z'],
    ['2025-07-17', '2025-07-19T00:00:00.000Z'],
  ]);
  const latest = known({ '2025-07-16': 'fixed', '2025-07-17': 'succeeded', '2025-07-18': 'failed' });
  const reasons = (input: Partial<BackfillInput>) =>
    planPartitions(pipeline(), { ...range, ...input }, latest, changes).partitions.map(
      ({ action, reason }) => `${action} ${reason}`,
    );

  it('runs those that are done again where the source changed since, and no others', () => {
    expect(reasons({ stale: true })).toEqual([
      'run stale: source changed at 2025-07-20T03:00:00.000Z',
      'skip already succeeded',
      'run failed before',
    ]);
  });

  it('is asked for: a plain range runs nothing twice', () => {
    expect(reasons({})).toEqual(['skip already fixed', 'skip already succeeded', 'run failed before']);
  });
});

describe('fromStep', () => {
  it('needs the earlier steps done', () => {
    const latest = (crm: PartitionStatus) => known({ '2025-07-16': 'failed' }, crm);
    const input = { to: '2025-07-16', fromStep: 'identity' };
    expect(lines(input, latest('succeeded'))).toEqual(['2025-07-16 run failed before']);
    expect(lines(input, latest('fixed'))).toEqual(['2025-07-16 run failed before']);
    for (const status of ['failed', 'skipped', 'waiting'] as const) {
      expect(() => lines(input, latest(status))).toThrow(
        new PartitionError(
          `2025-07-16 cannot begin at a later step: its step crm is ${status}; run it from the start.`,
        ),
      );
    }
    expect(() => lines(input)).toThrow(
      new PartitionError('2025-07-16 cannot begin at a later step: its step crm never ran; run it from the start.'),
    );
  });

  it('does not ask that of days that are skipped anyway', () => {
    expect(lines({ to: '2025-07-16', fromStep: 'identity' }, known({ '2025-07-16': 'skipped' }, 'failed'))).toEqual([
      '2025-07-16 skip skipped before',
    ]);
  });

  it('may be the first step, of which nothing is asked', () => {
    expect(lines({ to: '2025-07-16', fromStep: 'crm' })).toEqual(['2025-07-16 run never run']);
  });
});

describe('what is refused, in one sentence', () => {
  const stateful = pipeline({ steps: [step({ id: 'a', with: { run: ['x', '${previous.state.y}'] } })] });
  it.each([
    [{ fromStep: 'x' }, 'talbots has no step "x"; expected one of crm, identity.'],
    [{ exclude: ['2025-07-19'] }, 'Cannot exclude 2025-07-19: it is not among the partitions asked for.'],
    [{ exclude: ['2025-02-30'] }, '2025-02-30 is not a date that exists.'],
    [{ vars: { x: '1' } }, 'talbots has no var x.'],
    [
      { concurrency: 2 },
      'talbots runs its partitions one after the other, so concurrency 2 is refused; its file would have to say parallel_safe: true.',
    ],
    [
      { onFailure: 'park' },
      'talbots runs its partitions one after the other, so onFailure park is refused; its file would have to say parallel_safe: true.',
    ],
    [{ from: '2025-07-19' }, 'from 2025-07-19 is after to 2025-07-18; swap them.'],
  ] as [Partial<BackfillInput>, string][])('%j', (input, message) => {
    expect(() => lines(input)).toThrow(new PartitionError(message));
  });

  it('running backwards what hands state forwards', () => {
    expect(() => lines({ order: 'desc' }, known({}), stateful)).toThrow(
      new PartitionError('talbots hands state from one partition to the next, so it cannot run in order desc.'),
    );
    expect(lines({ order: 'asc', from: '2025-07-01', to: '2025-07-03' }, known({}), stateful)).toHaveLength(3);
  });
});

describe('a pipeline whose partitions hand state on', () => {
  const chunks = (everyDays = 10) => {
    const calendar = { everyDays, start: '2025-07-01', end: '2025-08-04' };
    const generate = step({ id: 'generate', with: { run: ['make', '${previous.state.ids}'] } });
    return pipeline({ calendar, steps: [generate, step({ id: 'upload' })] });
  };
  const done = (status: PartitionStatus = 'succeeded', state: unknown = { ids: 7 }): LatestPartition => ({
    status,
    sourceAsOf: '2025-09-01T00:00:00.000Z',
    steps: [
      { id: 'generate', status, state: state as Json },
      { id: 'upload', status, state: null },
    ],
  });
  const FIRST = '2025-07-01..2025-07-10';
  const SECOND = '2025-07-11..2025-07-20';
  const THIRD = '2025-07-21..2025-07-30';
  const planned = (input: Partial<BackfillInput>, latest: Record<string, LatestPartition>, every?: number) => {
    const range = { pipeline: 'backlog', partitions: [SECOND], ...input };
    const known = new Map(Object.entries(latest));
    const { partitions } = planPartitions(chunks(every), range, known);
    checkPreviousStates(chunks(every), partitions, known);
    return partitions.map(({ partition, action, reason }) => `${partition} ${action} ${reason}`);
  };

  it('begins with the first, and goes on where the state is known or comes with the same plan', () => {
    expect(planned({ partitions: [FIRST, SECOND, THIRD] }, {})).toHaveLength(3);
    expect(planned({}, { [FIRST]: done() })).toEqual([`${SECOND} run never run`]);
    expect(planned({ partitions: [FIRST, SECOND], force: true }, { [FIRST]: done(), [SECOND]: done() })).toHaveLength(
      2,
    );
  });

  it.each([
    ['never ran', {}],
    ['failed', { [FIRST]: done('failed') }],
    ['waits', { [FIRST]: done('waiting') }],
    ['was marked by hand, without state', { [FIRST]: done('succeeded', null) }],
  ])('refuses one whose predecessor %s', (_, latest) => {
    expect(() => planned({}, latest as Record<string, LatestPartition>)).toThrow(
      new PartitionError(
        `${SECOND} begins with what ${FIRST} hands on, and the ledger has no such state: run ${FIRST} first.`,
      ),
    );
  });

  it('refuses a plan that leaves the predecessor out', () => {
    expect(() => planned({ partitions: [FIRST, SECOND, THIRD], exclude: [SECOND] }, { [FIRST]: done() })).toThrow(
      /^2025-07-21\.\.2025-07-30 begins with what 2025-07-11\.\.2025-07-20 hands on/,
    );
  });

  describe('after a change of its chunks', () => {
    const LONG = '2025-07-01..2025-07-20';

    it('takes days that are done under other keys for done', () => {
      const latest = { [FIRST]: done(), [SECOND]: done() };
      expect(planned({ partitions: [LONG] }, latest, 20)).toEqual([`${LONG} skip done as ${SECOND}`]);
      expect(planned({ partitions: [FIRST, SECOND] }, { [LONG]: done() })).toEqual([
        `${FIRST} skip done as ${LONG}`,
        `${SECOND} skip done as ${LONG}`,
      ]);
    });

    it('goes on with the state that the days before ended with, whatever their key', () => {
      const next = '2025-07-21..2025-08-04';
      expect(planned({ partitions: [next] }, { [FIRST]: done(), [SECOND]: done() }, 20)).toEqual([
        `${next} run never run`,
      ]);
      const before = new Map([[SECOND, done('succeeded', { ids: 9 })]]);
      expect(stateBefore(chunks(20), next, before)).toEqual({ ids: 9 });
    });

    it.each([
      ['only some of the days are done', { [FIRST]: done() }, {}],
      ['one of them waits', { [FIRST]: done(), [SECOND]: done('waiting') }, {}],
      ['they are forced', { [FIRST]: done(), [SECOND]: done() }, { force: true }],
    ])('refuses an overlap when %s', (_, latest, input) => {
      expect(() => planned({ partitions: [LONG], ...input }, latest as Record<string, LatestPartition>, 20)).toThrow(
        /^2025-07-01\.\.2025-07-20 overlaps with 2025-07-\d\d\.\.2025-07-\d\d, which the ledger has as (succeeded|waiting): set partition\.every/,
      );
    });

    it('takes no notice of what failed under another key', () => {
      expect(planned({ partitions: [LONG] }, { [FIRST]: done('failed') }, 20)).toEqual([`${LONG} run never run`]);
    });
  });
});
