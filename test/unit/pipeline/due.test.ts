import { describe, expect, it } from '@jest/globals';
import type { PartitionStatus } from '../../../src/contracts/status.js';
import { duePartitions, staleSince } from '../../../src/pipeline/due.js';
import type { LatestPartition } from '../../../src/pipeline/plan.js';
import { pipeline } from './definitions.js';

const BUILT = '2025-07-20T03:00:00.123Z';
const DAY = '2025-07-16';

function row(status: PartitionStatus, sourceAsOf = BUILT): LatestPartition {
  return { status, sourceAsOf, steps: [{ id: 'crm', status }] };
}
const changed = (changedAt: string, known = row('succeeded')) =>
  staleSince(pipeline(), DAY, known, new Map([[DAY, changedAt]]));

describe('a done partition is stale', () => {
  it.each([
    ['a change after it was read', '2025-07-20T03:00:00.124Z'],
    ['a change in the millisecond in which it was read', BUILT],
    ['a change some microseconds into that millisecond', '2025-07-20T03:00:00.123999Z'],
    ['a change long after', '2026-01-01T00:00:00Z'],
  ])('by %s', (_what, changedAt) => expect(changed(changedAt)).toBe(changedAt));

  it.each([
    ['a change before', '2025-07-20T03:00:00.122999Z'],
    ['a change long before, though its text is greater', '2025-07-20T02:59:59Z'],
  ])('not by %s', (_what, changedAt) => expect(changed(changedAt)).toBeNull());

  it('whether it succeeded, was fixed or given up, but not when it is not done', () => {
    const after = '2025-07-21T00:00:00Z';
    for (const status of ['succeeded', 'fixed', 'skipped'] as const) expect(changed(after, row(status))).toBe(after);
    for (const status of ['failed', 'waiting'] as const) expect(changed(after, row(status))).toBeNull();
    expect(staleSince(pipeline(), DAY, undefined, new Map([[DAY, after]]))).toBeNull();
  });

  it('not when it was marked as skipped by hand', () => {
    expect(changed('2025-07-21T00:00:00Z', { ...row('skipped'), steps: [] })).toBeNull();
    expect(changed('2025-07-21T00:00:00Z', { ...row('succeeded'), steps: [] })).not.toBeNull();
  });

  it('not when nothing is known of its source', () => {
    expect(staleSince(pipeline(), DAY, row('succeeded'), new Map())).toBeNull();
  });

  it('as a chunk, by the latest change of any of its days', () => {
    const chunks = pipeline({ calendar: { everyDays: 3, start: '2025-07-01', end: null } });
    const known = row('succeeded');
    const changes = (days: Record<string, string>) =>
      staleSince(chunks, '2025-07-04..2025-07-06', known, new Map(Object.entries(days)));
    const [before, after, later] = ['2025-07-19T00:00:00Z', '2025-07-20T04:00:00Z', '2025-07-20T05:00:00Z'] as const;
    expect(changes({ '2025-07-04': before, '2025-07-05': later, '2025-07-06': after })).toBe(later);
    expect(changes({ '2025-07-06': after })).toBe(after);
    expect(changes({ '2025-07-03': after, '2025-07-04': before, '2025-07-07': after })).toBeNull();
  });
});

it('missing are those that are not done, and what is under way is neither missing nor stale', () => {
  const days = ['2025-07-11', '2025-07-12', '2025-07-13', '2025-07-14', '2025-07-15', '2025-07-16', '2025-07-17'];
  const latest = new Map([
    ['2025-07-11', row('failed')],
    ['2025-07-12', row('waiting')],
    ['2025-07-13', row('succeeded')],
    ['2025-07-14', row('fixed')],
    ['2025-07-15', row('waiting')],
    ['2025-07-16', row('succeeded')],
  ]);
  const after = '2025-07-21T00:00:00Z';
  const changes = new Map(['2025-07-14', '2025-07-16'].map((day) => [day, after]));
  const underWay = new Set(['2025-07-15', '2025-07-16']);
  expect(duePartitions(pipeline(), days, latest, changes, underWay)).toEqual({
    missing: ['2025-07-11', '2025-07-12', '2025-07-17'],
    stale: ['2025-07-14'],
  });
});
