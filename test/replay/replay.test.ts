import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from '@jest/globals';
import { DefaultLogger, type ReplayWorkerOptions, Runtime, Worker } from '@temporalio/worker';
import { type HistoryEvent, historyOf, type SavedHistory, savedHistories, textsOf, workflowIdOf } from './histories.js';

const codePath = path.resolve('dist/workflow-bundle.js');
const options: ReplayWorkerOptions = { workflowBundle: { codePath } };
// What is refused on purpose need not be told.
Runtime.install({
  logger: new DefaultLogger('ERROR', () => {}),
  telemetryOptions: { logging: { filter: 'OFF', forward: {} } },
});

const saved = savedHistories();

/** What replaying says against a history; null when the workflows of today give what is in it. */
async function complaint(one: SavedHistory): Promise<Error | null> {
  try {
    await Worker.runReplayHistory(options, historyOf(one), workflowIdOf(one.history));
    return null;
  } catch (error) {
    return error as Error;
  }
}

/** A copy of a saved history in which the first event with these attributes is other than it was. */
function altered(name: string, attributes: string, change: (given: Record<string, unknown>) => void): SavedHistory {
  const copy = structuredClone(saved.find((one) => one.name === name)!);
  const event = copy.history.events.find((one: HistoryEvent) => one[attributes] !== undefined)!;
  change(event[attributes] as Record<string, unknown>);
  return copy;
}

test('the bundle is there', () => {
  expect(existsSync(codePath)).toBe(true);
});

test.each(saved.map((one) => [one.name, one] as const))('%s replays', async (_name, one) => {
  expect(await complaint(one)).toBeNull();
});

test('every way that a day or a backfill can go is among the histories', () => {
  expect(saved.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      'good-day',
      'fixed-day',
      'waiting-and-retried-day',
      'skipped-day',
      'aborted-day',
      'cancelled-day',
      'day-of-an-approved-proposal',
      'day-of-a-standing-decision',
      'day-of-decide-within',
      'day-that-revised-totals',
      'backfill-with-a-standing-decision',
      'backfill-of-three-days',
      'continued-backfill-1',
      'continued-backfill-2',
      'night',
      'night-that-adds',
      'quiet-night',
      'digest',
      'backfill-of-catch-up',
      'day-that-crossed-limits',
      'backfill-whose-budget-ran-out',
    ]),
  );
  const first = saved.find(({ name }) => name === 'continued-backfill-1')!;
  expect(first.history.events.at(-1)!.eventType).toBe('EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW');
});

test.each([
  [
    'another activity',
    altered('good-day', 'activityTaskScheduledEventAttributes', (given) => {
      given.activityType = { name: 'dbt/build' };
    }),
  ],
  [
    'another day started',
    altered('backfill-of-three-days', 'startChildWorkflowExecutionInitiatedEventAttributes', (given) => {
      given.workflowId = 'three-days/2025-07-30';
    }),
  ],
] as const)('a history with %s is refused', async (_what, one) => {
  const error = await complaint(one);
  expect(error?.name).toBe('DeterminismViolationError');
});

test('no history tells of the machine it was recorded on', () => {
  const telling = [os.hostname(), os.homedir(), process.cwd()].filter((text) => text.length > 3);
  for (const { name, history } of saved) {
    const texts = textsOf(history);
    const told = texts.filter(
      (text) => /\/(?:tmp|home|root|Users|var|usr)\//.test(text) || telling.some((one) => text.includes(one)),
    );
    expect({ name, told }).toEqual({ name, told: [] });
  }
});
