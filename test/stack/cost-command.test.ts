import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { CostReport, StepCost } from '../../src/client/cost.js';
import type { LedgerRow } from '../../src/contracts/ledger.js';
import type { StepOutcome } from '../../src/contracts/partition.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { openLedger } from '../../src/warehouse/ledger.js';
import { CommandLine, writePipeline } from '../support/command-line.js';
import { startTestStack, type TestStack } from '../support/stack.js';

const GIB = 2 ** 30;
const HOUR_MS = 3_600_000;

let stack: TestStack;
let pipelines: string;
let cli: CommandLine;

beforeAll(async () => {
  pipelines = mkdtempSync(path.join(tmpdir(), 'dayfill-cost-'));
  stack = await startTestStack({ services: ['bigquery'], env: { DAYFILL_PIPELINES: pipelines } });
  cli = new CommandLine(stack.env);
  for (const name of ['probe', 'new']) {
    writePipeline(
      pipelines,
      name,
      `pipeline: ${name}\npartition: { every: 1d, start: 2025-07-01 }
steps:\n  - { id: gather, uses: command, with: { run: ["true"] } }\n`,
    );
  }
  const { project, dataset, location } = stack.config().ledger!;
  const ledger = openLedger(bigQueryClients(stack.config())(project), dataset, location);
  await ledger.append(...history());
});
afterAll(async () => {
  await stack?.stop();
  rmSync(pipelines, { recursive: true, force: true });
});

/** A gathering of about ten GiB and twelve slot-hours a day, beside a step that BigQuery knows nothing of. */
function history(): LedgerRow[] {
  const rows = Array.from({ length: 8 }, (_, index) =>
    row(index + 1, [
      step('gather', { bytesBilled: (10 + (index % 3) * 0.1) * GIB, slotMs: (12 + (index % 2)) * HOUR_MS }),
      step('mail', {}),
      step('merge', { bytesBilled: null, slotMs: null }, { attempts: 0, status: 'pending' }),
    ]),
  );
  const failed = step('gather', { bytesBilled: 900 * GIB, slotMs: 80 * HOUR_MS, costUsd: 99 }, { status: 'failed' });
  return [
    ...rows,
    // It waits, then ends: one run, whose last row has it all.
    row(9, [{ ...failed, status: 'waiting' }], { status: 'waiting' }),
    row(9, [failed], { status: 'failed', sequence: 2 }),
    // An undone fix repeats the steps of the run that it was in.
    row(9, [failed], { status: 'failed', runId: 'undo-1', startedAt: at(9, 5) }),
    row(9, [step('gather', { bytesBilled: 10 * GIB, slotMs: 2 * HOUR_MS })], { runId: 'again', startedAt: at(9, 6) }),
    row(10, [step('gather', { bytesBilled: 10 * GIB, slotMs: null })]),
    row(10, [step('gather', { bytesBilled: 5 * GIB, slotMs: 1 })], { pipeline: 'probe~1a2b3c4d', runId: 'variant' }),
  ];
}

const day = (number: number) => `2025-07-${`${number}`.padStart(2, '0')}`;
const at = (number: number, hour = 1) => `${day(number)}T0${hour}:00:00.000Z`;

function row(number: number, steps: StepOutcome[], changes: Partial<LedgerRow> = {}): LedgerRow {
  const partition = day(number);
  return {
    ...{ pipeline: 'probe', partition, partitionStart: partition, partitionEnd: partition, status: 'succeeded' },
    ...{ workflowId: `probe/${partition}`, runId: `run-${partition}`, sequence: 1, reason: null, decisions: [] },
    ...{ startedAt: at(number), recordedAt: at(number), sourceAsOf: at(number), steps },
    ...changes,
  };
}

function step(id: string, figures: Partial<StepOutcome>, changes: Partial<StepOutcome> = {}): StepOutcome {
  return {
    ...{ id, status: 'succeeded', attempts: 1, remedies: [], durationMs: 1, counts: {}, jobIds: [], failure: null },
    ...{ bytesBilled: null, slotMs: null, costUsd: null, log: null, state: null, warnings: [] },
    ...figures,
    ...changes,
  };
}

const cost = (...args: string[]) => cli.json<CostReport>(['cost', ...args]);
const gathered = ({ lines }: CostReport) => lines.filter(({ step }) => step === 'gather');

test('a line for each run of a step, with what is out of the ordinary by the runs before it', async () => {
  const lines = gathered(await cost('probe'));
  const partitions = lines.map(({ partition, runId }) => [partition, runId]);
  expect(partitions.slice(7)).toEqual([
    ['2025-07-08', 'run-2025-07-08'],
    ['2025-07-09', 'run-2025-07-09'],
    ['2025-07-09', 'again'],
    ['2025-07-10', 'run-2025-07-10'],
  ]);
  expect(lines.map(({ normal }) => normal.slotMs !== null)).toEqual([...Array(5).fill(false), ...Array(6).fill(true)]);
  const [failed, again, last] = lines.slice(8) as [StepCost, StepCost, StepCost];
  expect(failed).toMatchObject({ bytesBilled: 900 * GIB, costUsd: 99, status: 'failed' });
  expect(failed.outliers).toEqual({ bytesBilled: 'high', slotMs: 'high', costUsd: 'high' });
  expect(failed.normal.slotMs).toMatchObject({ median: 12.5 * HOUR_MS });
  // What failed is no part of what is normal.
  expect(again.normal).toEqual(failed.normal);
  expect(again.outliers).toEqual({ slotMs: 'low' });
  expect(last).toMatchObject({ slotMs: null, outliers: {} });
  expect(lines.slice(0, 8).every(({ outliers }) => Object.keys(outliers).length === 0)).toBe(true);
});

test('what nobody told is null, and no part of a total', async () => {
  const { lines, steps, total } = await cost('probe', '--from', day(8), '--to', day(10));
  expect(lines.map(({ partition, step }) => [partition, step])).toEqual([
    [day(8), 'gather'],
    [day(8), 'mail'],
    [day(9), 'gather'],
    [day(9), 'gather'],
    [day(10), 'gather'],
  ]);
  expect(lines[1]).toMatchObject({ bytesBilled: null, slotMs: null, costUsd: null, outliers: {} });
  // The band is made of all days, whichever are shown.
  expect(lines[0]!.normal.bytesBilled).not.toBeNull();
  const perGib = 6.25 / 1024;
  expect(steps).toEqual([
    {
      step: 'gather',
      runs: 4,
      total: {
        bytesBilled: expect.closeTo(930.1 * GIB, -3),
        slotMs: (13 + 80 + 2) * HOUR_MS,
        costUsd: expect.closeTo(99 + 30.1 * perGib, 4),
      },
      unknown: { bytesBilled: 0, slotMs: 1, costUsd: 0 },
    },
    {
      step: 'mail',
      runs: 1,
      total: { bytesBilled: null, slotMs: null, costUsd: null },
      unknown: { bytesBilled: 1, slotMs: 1, costUsd: 1 },
    },
  ]);
  expect(total.unknown).toEqual({ bytesBilled: 1, slotMs: 2, costUsd: 1 });
  expect(total.total.slotMs).toBe((13 + 80 + 2) * HOUR_MS);
});

test('the table marks outliers and says what is not known; prices come from the environment', async () => {
  const { stdout, code } = await cli.run(['cost', 'probe', '--from', day(9)]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/2025-07-09.*gather.*failed.*900 GiB.*80 slot-hours.*\$99\.00.*billed is high: normally/);
  expect(stdout).toMatch(/gather.*2 slot-hours.*slot time is low: normally/);
  expect(stdout).toMatch(/2025-07-10.*gather.*10 GiB.*\?.*/);
  expect(stdout).toMatch(/all.*3.*82 slot-hours and 1 × \?/);
  const priced = await cli.run(['cost', 'probe', '--from', day(10), '--json'], { DAYFILL_PRICE_PER_TIB_USD: '1024' });
  expect((JSON.parse(priced.stdout) as CostReport).total.total.costUsd).toBeCloseTo(10);
});

test('another pipeline, a variant, days without rows', async () => {
  expect(gathered(await cost('probe~1a2b3c4d')).map(({ runId }) => runId)).toEqual(['variant']);
  expect(await cost('new')).toMatchObject({ lines: [], steps: [], total: { total: { costUsd: null } } });
  expect(await cli.run(['cost', 'new'])).toMatchObject({ code: 0, stdout: '' });
  for (const args of [['nobody'], ['probe', '--from', 'yesterday'], ['probe', '--from', day(9), '--to', day(8)]]) {
    expect(await cli.run(['cost', ...args])).toMatchObject({ code: 2, stdout: '' });
  }
});
