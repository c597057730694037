import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadConfig } from '../../src/config.js';
import type { LedgerRow } from '../../src/contracts/ledger.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { openLedger } from '../../src/warehouse/ledger.js';
import { type Column, LEDGER_COLUMNS } from '../../src/warehouse/ledger-schema.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';

let directory: string;
let emulator: BigQueryEmulator;
let bigquery: BigQuery;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-ledger-'));
  emulator = await startBigQuery(loadConfig().venv, directory);
  bigquery = bigQueryClients({ bigqueryEndpoint: emulator.address })('ledger-test');
});
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
        costUsd: 51.2,
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
          evidence: 'runs-data/talbots/2025-07-17/crm.json',
          exitCode: 1,
        },
        log: 'logs/x.log',
        state: { cursor: [1, null, awkward] },
        warnings: [awkward],
      },
      {
        ...{ id: 'identity', status: 'pending', attempts: 0, remedies: [], durationMs: 0, counts: {} },
        ...{ bytesBilled: null, slotMs: null, costUsd: null, jobIds: [], failure: null, log: null, state: null },
        warnings: [],
      },
    ],
    decisions: [
      {
        ...{ action: 'retry', failure: 'abc-1', fingerprint: 'f00', step: 'crm', note: awkward, decidedBy: null },
        ...{ decidedAt: '2025-07-20T01:02:30.000Z', way: 'person', sql: awkward, sha256: 'abc', file: null },
        afterwards: 'retry',
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

describe('a table that an older version made', () => {
  /** What was added to the ledger since its first version. */
  const NEWER = [
    ...['failure.evidence', 'cost_usd', 'warnings'].map((name) => `steps.${name}`),
    ...['fingerprint', 'way', 'sql', 'sha256', 'file', 'afterwards'].map((name) => `decisions.${name}`),
  ];

  function olderColumns(columns: Column[], place = ''): Column[] {
    return columns
      .filter(({ name }) => !NEWER.includes(place + name))
      .map((column) =>
        column.fields === undefined
          ? column
          : { ...column, fields: olderColumns(column.fields, `${place}${column.name}.`) },
      );
  }

  const older = row('2025-07-16');
  const { evidence: _, ...failure } = older.steps[0]!.failure!;
  const { action, failure: answered, step, note, decidedBy, decidedAt } = older.decisions[0]!;
  const asRead: LedgerRow = {
    ...older,
    steps: [
      { ...older.steps[0]!, failure: { ...failure, evidence: null }, costUsd: null, warnings: [] },
      older.steps[1]!,
    ],
    decisions: [
      {
        ...{ action, failure: answered, step, note, decidedBy, decidedAt },
        ...{ fingerprint: null, way: null, sql: null, sha256: null, file: null, afterwards: null },
      } as unknown as LedgerRow['decisions'][number],
    ],
  };

  async function makeOlder(dataset: string): Promise<void> {
    await bigquery.createDataset(dataset);
    const table = bigquery.dataset(dataset).table('ledger');
    await table.create({ schema: { fields: olderColumns(LEDGER_COLUMNS) } });
    const query = `select * from \`ledger-test.${dataset}.ledger\`
      qualify row_number() over (partition by pipeline, partition order by recorded_at desc, sequence desc) = 1`;
    await bigquery.dataset(dataset).createTable('latest_partitions', { view: { query, useLegacySql: false } });
    const counts = [
      { name: 'loaded', value: 2_000_000_000_000 },
      { name: 'ratio', value: 0.25 },
    ];
    const { exitCode, ...plain } = failure;
    await table.insert(
      [
        {
          insertId: 'older',
          json: {
            ...{ pipeline: 'talbots', partition: older.partition, partition_start: older.partition },
            ...{ partition_end: older.partition, status: 'fixed', workflow_id: older.workflowId, run_id: older.runId },
            ...{ sequence: 1, started_at: older.startedAt, recorded_at: older.recordedAt },
            ...{ source_as_of: older.sourceAsOf, reason: older.reason },
            steps: older.steps.map((outcome, index) => ({
              ...{ id: outcome.id, status: outcome.status, attempts: outcome.attempts, remedies: outcome.remedies },
              ...{ duration_ms: outcome.durationMs, counts: index === 0 ? counts : [], job_ids: outcome.jobIds },
              ...{ bytes_billed: outcome.bytesBilled, log: outcome.log },
              failure: index === 0 ? { ...plain, exit_code: exitCode } : null,
              state: outcome.state === null ? null : JSON.stringify(outcome.state),
            })),
            decisions: [{ action, failure: answered, step, note, decided_by: decidedBy, decided_at: decidedAt }],
          },
        },
      ],
      { raw: true },
    );
  }

  test('is read with null for what it lacks', async () => {
    await makeOlder('older_read');
    expect(await openLedger(bigquery, 'older_read', 'US').rows('talbots')).toEqual([asRead]);
  });

  test('gets the columns that it lacks from the first row that needs them, once, and keeps its own', async () => {
    await makeOlder('older_grown');
    const table = bigquery.dataset('older_grown').table('ledger');
    const [{ schema }] = await table.getMetadata();
    await table.setMetadata({ schema: { fields: [...schema.fields, { name: 'of_a_newer_version', type: 'STRING' }] } });
    const [one, other] = [openLedger(bigquery, 'older_grown', 'US'), openLedger(bigquery, 'older_grown', 'US')];
    await Promise.all([one.append(row('2025-07-17')), other.append(row('2025-07-18'))]);
    const all = [asRead, row('2025-07-17'), row('2025-07-18')];
    expect(await one.rows('talbots')).toMatchObject(all);
    expect([...(await one.latest('talbots')).values()]).toMatchObject(all);
    const [{ schema: grown }] = await table.getMetadata();
    expect(grown.fields.map(({ name }: Column) => name)).toContain('of_a_newer_version');
  });

  test('is not yet taken for grown where BigQuery still refuses its new columns', async () => {
    const ledger = openLedger(bigquery, 'older_again', 'US');
    await ledger.append(row('2025-07-16'));
    await bigquery.dataset('older_again').table('ledger').delete();
    await bigquery
      .dataset('older_again')
      .table('ledger')
      .create({ schema: { fields: olderColumns(LEDGER_COLUMNS) } });
    await expect(ledger.append(row('2025-07-17'))).rejects.toThrow('new columns of the ledger');
    await ledger.append(row('2025-07-17'));
    expect(await ledger.rows('talbots')).toEqual([row('2025-07-17')]);
  });
});
