import { expect, test } from '@jest/globals';
import type { Progress } from '../../../src/contracts/backfill.js';
import { underWayIn, unrecorded } from '../../../src/pipeline/under-way.js';

const STARTED = '2025-07-20T03:00:00.000Z';
const report = (status: 'running' | 'waiting') => ({ status, step: null, failure: null });
const progress: Progress = {
  pipeline: 'talbots',
  status: 'running',
  total: 6,
  pending: ['06'],
  live: { '04': report('running'), '05': report('waiting') },
  ended: { '01': 'succeeded', '02': 'succeeded', '03': 'failed' },
  startedAt: STARTED,
  endedMs: 0,
  spentUsd: null,
  budgetUsd: null,
};
const rows = (at: Record<string, string>) =>
  new Map(Object.entries(at).map(([key, recordedAt]) => [key, { recordedAt }]));

test('what a backfill began stands for rows to come, until they are written', () => {
  const before = '2025-07-20T02:59:59.999Z';
  const latest = rows({ '01': STARTED, '02': before, '05': '2025-07-20T03:00:01Z' });
  expect([...unrecorded(progress, latest)]).toEqual([
    ['04', 'running'],
    ['02', 'succeeded'],
    ['03', 'failed'],
  ]);
  expect([...underWayIn(progress, latest)].sort()).toEqual(['02', '03', '04', '05', '06']);
});

test('without a backfill nothing does', () => {
  expect([...unrecorded(null, rows({})), ...underWayIn(null, rows({}))]).toEqual([]);
});
