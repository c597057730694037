import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadConfig } from '../../src/config.js';
import type { FixRules } from '../../src/contracts/fix.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { type CheckedFix, type CheckFixRequest, checkFix } from '../../src/warehouse/fixes/checked-fix.js';
import { createSqlGuard, FixRefused } from '../../src/warehouse/fixes/guard.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';
import { batchGuard } from './fixtures/sql_guard/batch-guard.js';
import { PASSING } from './fixtures/sql_guard/passing.js';
import { REFUSED } from './fixtures/sql_guard/refused.js';

const PROJECT = 'guard-test';
const { venv } = loadConfig();
const python = path.join(venv, 'bin/python');
const DAY = { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' };
const RULES: FixRules = {
  project: PROJECT,
  location: null,
  dataset: 'shop',
  datasets: ['shop', 'talbots_landing', 'talbots_crm', 'talbots_identity'],
  creates: ['talbots_landing.conversion_duplicate', 'talbots_identity.restored_conversion'],
  dayColumns: { 'shop.rental': 'rented_on' },
  maxRows: 1000,
  maxBytesBilled: null,
};
const CONVERSION =
  '(conversion_date date, source_line int64, conversion_id string, unique_key string, order_id string, email string, phone string, loyalty_id string, store string, amount numeric, currency string, converted_at timestamp, updated_at timestamp, channel string) partition by conversion_date';
const TABLES = [
  'create table shop.sale (sale_id string, sale_date date, amount numeric, store string, tags array<string>) partition by sale_date',
  'create table shop.refund (refund_id string, refund_date date)',
  'create table shop.loan (loan_id string, lent_on date, due_on date)',
  'create table shop.rental (rental_id string, rented_on date, due_on date)',
  'create table shop.store (name string)',
  'create table shop.visit (visit_id string, seen_at timestamp)',
  'create view shop.sale_view as select * from shop.sale',
  'create table vault.secret (id string, key string, day date)',
  `create table talbots_landing.conversion ${CONVERSION}`,
  `create table talbots_crm.talbots_raw_extraction_conversion ${CONVERSION}`,
  'create table talbots_crm.conversions (conversion_id string, conversion_date date)',
  'create table talbots_identity.conversion_persons (conversion_id string, person_id string)',
];

let directory: string;
let emulator: BigQueryEmulator;
let bigquery: BigQuery;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-guard-'));
  emulator = await startBigQuery(venv, path.join(directory, 'bigquery'));
  bigquery = bigQueryClients({ bigqueryEndpoint: emulator.address })(PROJECT);
  for (const dataset of [...RULES.datasets, 'vault', 'scratch']) await bigquery.createDataset(dataset);
  for (const table of TABLES) await bigquery.query(table);
  const shop = bigquery.dataset('shop');
  const clicked = {
    schema: 'clicked_at:TIMESTAMP,seen_on:DATE',
    timePartitioning: { type: 'DAY', field: 'clicked_at' },
  };
  await shop.createTable('click', clicked);
  await shop.createTable('event', { schema: 'kind:STRING,happened_on:DATE', timePartitioning: { type: 'DAY' } });
});
afterAll(async () => {
  await emulator?.stop();
  rmSync(directory, { recursive: true, force: true });
});

function check(sql: string, request: Partial<CheckFixRequest> = {}, guard = createSqlGuard(python)) {
  const deps = { clients: () => bigquery, guard };
  return checkFix(deps, { sql, rules: RULES, partition: DAY, tests: [], scratch: null, ...request });
}

/** What became of each text. */
function outcomes(texts: string[]): Promise<(CheckedFix | Error)[]> {
  const guard = batchGuard(python);
  return Promise.all(texts.map((sql) => check(sql, {}, guard).catch((error: Error) => error)));
}

describe('refuses, with the reason', () => {
  let became: (CheckedFix | Error)[];
  beforeAll(async () => {
    became = await outcomes(REFUSED.map(([, sql]) => sql));
  });

  test.each(REFUSED.map(([name, , reason], index) => ({ name, reason, index })))('$name', ({ reason, index }) => {
    const outcome = became[index];
    expect(outcome).toBeInstanceOf(FixRefused);
    expect((outcome as Error).message).toContain(reason);
    expect((outcome as Error).message).toMatch(/^[^\n]{20,400}[.)]$/);
  });
});

describe('lets honest fixes pass', () => {
  let became: (CheckedFix | Error)[];
  beforeAll(async () => {
    became = await outcomes(PASSING.map(([, sql]) => sql));
  });

  test.each(PASSING.map(([name], index) => ({ name, index })))('$name', ({ index }) => {
    const outcome = became[index]!;
    expect(outcome).not.toBeInstanceOf(Error);
    expect((outcome as CheckedFix).changes.length).toBeGreaterThan(0);
  });
});

const DEDUPE = readFileSync(
  'pipelines/talbots/fixes/fix_unique_talbots_raw_extraction_conversion_unique_key.sql',
  'utf8',
);

test('tells what a fix does, in its own words', async () => {
  const { setup, changes, targets } = await check(DEDUPE);
  expect([...setup, ...changes].map(({ kind, table, line }) => [kind, table, DEDUPE.split('\n')[line - 1]])).toEqual([
    ['create', `${PROJECT}.talbots_landing.conversion_duplicate`, expect.stringMatching(/^create table/)],
    ['insert', `${PROJECT}.talbots_landing.conversion_duplicate`, expect.stringMatching(/^insert into/)],
    ['delete', `${PROJECT}.talbots_landing.conversion`, 'delete from `talbots_landing.conversion`'],
    ['delete', `${PROJECT}.talbots_crm.talbots_raw_extraction_conversion`, expect.stringMatching(/^delete from/)],
  ]);
  expect(targets.map(({ exists, dayColumn, quarantine }) => [exists, dayColumn, quarantine])).toEqual([
    [false, { name: 'conversion_date', type: 'DATE' }, true],
    [true, { name: 'conversion_date', type: 'DATE' }, false],
    [true, { name: 'conversion_date', type: 'DATE' }, false],
  ]);
  for (const { sql } of changes) {
    expect(DEDUPE).toContain(sql.replaceAll(`${PROJECT}.`, ''));
    expect(sql).toContain(`${PROJECT}.talbots_`);
  }
});

test('what is rehearsed runs on copies: the statements, and the tests that name a model for its source', async () => {
  await bigquery.query(
    "insert into shop.sale values ('a', '2025-07-16', 1, null, []), ('b', '2025-07-15', 1, null, [])",
  );
  await bigquery.query('create table scratch.r1_shop__sale as select * from shop.sale');
  await bigquery.query('create view scratch.whole_r1_shop__sale as select * from scratch.r1_shop__sale');
  const { changes, tests } = await check(
    `update sale set store = 'A' where sale.sale_date = @partition
       and exists (select 1 from shop.sale as other where other.sale_id = sale.sale_id);
     delete from sale where sale_date = @partition and sale.store is null;
     merge sale using (select 'a' as id) as s on sale.sale_id = s.id and sale.sale_date = @partition
       when matched then update set amount = sale.amount + 1`,
    {
      scratch: { dataset: 'scratch', prefix: 'r1_' },
      tests: [
        {
          sql: `select sale_id from \`${PROJECT}\`.\`crm\`.\`sales\` where sales.store = 'A' and sales.amount = 2`,
          tables: { [`${PROJECT}.crm.sales`]: `${PROJECT}.shop.sale` },
        },
        { sql: 'select from where', tables: {} },
      ],
    },
  );
  for (const { scratchSql } of changes) {
    await bigquery.query({ query: scratchSql!, params: { partition: BigQuery.date(DAY.start) } });
  }
  expect(tests[1]).toBeNull();
  expect((await bigquery.query(tests[0]!))[0]).toEqual([{ sale_id: 'a' }]);
  const [left] = await bigquery.query('select store from shop.sale where store is not null');
  expect(left).toEqual([]);
});

test.each([
  ['sale_date between @partition_start and @partition_end', true],
  ["sale_date in ('2025-07-14', date '2025-07-16')", true],
  ["sale_date >= '2025-07-14' and sale_date < '2025-07-17'", true],
  ['sale_date = @partition', true],
  ["sale_date in ('2025-07-13', '2025-07-14')", false],
  ["sale_date >= '2025-07-14' and sale_date <= '2025-07-17'", false],
  ['sale_date between @partition_start and date_add(@partition_end, interval 1 day)', false],
])('of a chunk of days: %s', async (condition, allowed) => {
  const partition = { key: '2025-07-14..2025-07-16', start: '2025-07-14', end: '2025-07-16' };
  const outcome = check(`delete from shop.sale where ${condition}`, { partition });
  if (allowed) await expect(outcome).resolves.toMatchObject({ changes: [{ bound: ['sale_date'] }] });
  else await expect(outcome).rejects.toThrow('not bound to the partition');
});

test('without a default dataset, and with a day column that is not there, it says so', async () => {
  const rules = { ...RULES, dataset: null, dayColumns: { 'shop.sale': 'day' } };
  await expect(check('delete from sale where day = @partition', { rules })).rejects.toThrow('sale names no dataset');
  await expect(check('delete from shop.sale where day = @partition', { rules })).rejects.toThrow(
    'the day of shop.sale is in day, which it does not have',
  );
});

test('without its Python environment it refuses nothing, and says what to do', async () => {
  const failure = await createSqlGuard('/nowhere/python')({
    ...{ sql: 'select 1', project: PROJECT, dataset: null, datasets: [], creates: [], partition: DAY },
    ...{ scratch: null, tests: [] },
  }).catch((error: Error) => error);
  expect(failure).not.toBeInstanceOf(FixRefused);
  expect((failure as Error).message).toMatch(/^The SQL guard cannot run with \/nowhere\/python .*npm run setup/);
});
