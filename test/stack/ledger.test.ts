import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { loadConfig } from '../../src/config.js';
import type { LedgerRow } from '../../src/contracts/ledger.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { openLedger } from '../../src/warehouse/ledger.js';
import { LEDGER_COLUMNS } from '../../src/warehouse/ledger-schema.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';

let directory: string;
let emulator: BigQueryEmulator;
let bigquery: BigQuery;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-ledger-'));
  emulator = await startBigQuery(loadConfig().venv, directory);
  bigquery = bigQueryClients({ bigqueryEndpoint: emulator.address })('ledger-test');
}, 90_000);
afterAll(async () => {
  await emulator?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Every field filled, with what is hard to keep: quotes, line ends, other scripts, big and broken numbers. */
function row(partition: string, changes: Partial<LedgerRow> = {}): LedgerRow {
  const awkward = `it's "quoted"\nand \\ über 日本 \${x} $(touch x)`;
  return {
    pipeline: 'talbots',
    partition,
    partitionStart: partition,
    partitionEnd: partition,
    status: 'fixed',
    workflowId: `talbots/${partition}`,
    runId: `run-${partition}`,
    sequence: 1,
    startedAt: '2025-07-20T01:02:03.456Z',
    recordedAt: '2025-07-20T01:03:00.000Z',
    sourceAsOf: '2025-07-20T01:02:00.000Z',
    reason: awkward,
    steps: [
      {
        id: 'crm',
        status: 'fixed',
        attempts: 2,
        remedies: ['dedupe', 'dedupe'],
        durationMs: 1234,
        counts: { loaded: 2_000_000_000_000, ratio: 0.25 },
        bytesBilled: 9_007_199_254_740_991,
        slotMs: null,
        jobIds: ['job-1'],
        failure: {
          id: 'abc-1',
          fingerprint: 'f00',
          step: 'crm',
          kind: 'test_failure',
          tests: ['unique_key'],
          message: awkward,
          tail: '',
          log: null,
          exitCode: 1,
        },
        log: 'logs/x.log',
        state: { cursor: [1, null, awkward] },
      },
      {
        ...{ id: 'identity', status: 'pending', attempts: 0, remedies: [], durationMs: 0, counts: {} },
        ...{ bytesBilled: null, slotMs: null, jobIds: [], failure: null, log: null, state: null },
      },
    ],
    decisions: [
      {
        ...{ action: 'retry', failure: 'abc-1', step: 'crm', note: awkward, decidedBy: null },
        decidedAt: '2025-07-20T01:02:30.000Z',
      },
    ],
    ...changes,
  };
}

test('a ledger that is not there yet has no rows', async () => {
  const ledger = openLedger(bigquery, 'not_there', 'US');
  expect(await ledger.rows('talbots')).toEqual([]);
  expect(await ledger.latest('talbots')).toEqual(new Map());
});

test('a row comes back as it went in', async () => {
  const ledger = openLedger(bigquery, 'round_trip', 'US');
  await ledger.append(row('2025-07-16'));
  expect(await ledger.rows('talbots')).toEqual([row('2025-07-16')]);
});

test('two that make it at once do not meet, and a row written twice counts once', async () => {
  const [one, other] = [openLedger(bigquery, 'shared', 'US'), openLedger(bigquery, 'shared', 'US')];
  await Promise.all([one.append(row('2025-07-16')), other.append(row('2025-07-17'))]);
  await other.append(row('2025-07-16'));
  expect((await one.rows('talbots')).map(({ partition }) => partition)).toEqual(['2025-07-16', '2025-07-17']);
});

test('the latest row of a partition is the one recorded last, and in one moment the one written last', async () => {
  const ledger = openLedger(bigquery, 'latest', 'US');
  const waiting = row('2025-07-16', { status: 'waiting' });
  const ended = row('2025-07-16', { status: 'fixed', sequence: 2 });
  await ledger.append(ended, waiting, row('2025-07-17'), row('2025-07-18', { pipeline: 'talbots~1a2b3c4d' }));
  const latest = await ledger.latest('talbots');
  expect([...latest].map(([key, { status }]) => [key, status])).toEqual([
    ['2025-07-16', 'fixed'],
    ['2025-07-17', 'fixed'],
  ]);
  expect([...(await ledger.latest('talbots', '2025-07-17', '2025-07-31')).keys()]).toEqual(['2025-07-17']);
  expect((await ledger.rows('talbots', undefined, '2025-07-16')).map(({ status }) => status)).toEqual([
    'waiting',
    'fixed',
  ]);
});

test('takes more rows than go into one request', async () => {
  const ledger = openLedger(bigquery, 'many', 'US');
  const days = Array.from({ length: 600 }, (_, day) => new Date(Date.UTC(2024, 0, 1 + day)).toISOString().slice(0, 10));
  await ledger.append(...days.map((day) => row(day, { steps: [], decisions: [] })));
  expect([...(await ledger.latest('talbots')).keys()]).toEqual(days);
});

test('what a name holds is a value, never SQL', async () => {
  const ledger = openLedger(bigquery, 'round_trip', 'US');
  expect(await ledger.rows(`talbots' or '1'='1`)).toEqual([]);
});

test('every column is described, in the table itself', async () => {
  const ledger = openLedger(bigquery, 'described', 'US');
  await ledger.append(row('2025-07-16'));
  const [{ schema }] = await bigquery.dataset('described').table('ledger').getMetadata();
  const names = (fields: { name: string; description?: string }[]) => fields.map(({ name }) => name);
  expect(names(schema.fields)).toEqual(names(LEDGER_COLUMNS));
  expect(LEDGER_COLUMNS.every(({ description }) => description.length > 0)).toBe(true);
});
