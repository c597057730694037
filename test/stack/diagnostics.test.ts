import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { loadConfig } from '../../src/config.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';

const FOLDER = path.resolve('pipelines/order_items/diagnostics');
const DAY = '2025-11-20';

let directory: string;
let emulator: BigQueryEmulator;
let bigquery: BigQuery;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-diagnostics-'));
  emulator = await startBigQuery(loadConfig().venv, directory);
  bigquery = bigQueryClients({ bigqueryEndpoint: emulator.address })('narvar-data-lake');
  // Shop "old" sends its orders of October over again, in three hours of the day; shop "well" sends those of the week.
  await bigquery.query(`
    create schema return_insights_base;
    create table return_insights_base.order_items partition by order_date as
    select 'old' retailer, date_sub(date '2025-10-15', interval mod(n, 20) day) order_date, n = 0 is_returned,
      timestamp_add(timestamp '${DAY} 08:10:00', interval mod(n, 3) hour) ingestion_timestamp
    from unnest(generate_array(0, 99)) n
    union all
    select 'well', date_sub(date '${DAY}', interval mod(n, 7) day), mod(n, 2) = 0, timestamp '2025-11-19 23:30:00'
    from unnest(generate_array(0, 13)) n
    union all
    select 'early', date '2025-11-10', false, timestamp '2025-11-17 23:59:59';
    create table return_insights_base.\`tmp_order_item_details_2025-11-19\` as
    select order_date from return_insights_base.order_items where retailer = 'well';
    create table return_insights_base.\`tmp_order_item_details_${DAY}\` as
    select order_date from return_insights_base.order_items where retailer in ('well', 'old')`);
});
afterAll(async () => {
  await emulator?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const sql = (file: string) => readFileSync(path.join(FOLDER, file), 'utf8');
const partition = { partition: BigQuery.date(DAY) };

test('the retailer that ingests old orders again stands first, and what is older than 48 hours is left out', async () => {
  const [rows] = await bigquery.query({ query: sql('retailers.sql'), params: partition });
  expect(rows).toMatchObject([
    { retailer: 'old', items_ingested: 100, items_older_than_the_net: 100, days_of_orders: 20, percent_returned: 1 },
    { retailer: 'well', items_ingested: 14, items_older_than_the_net: 0, days_of_orders: 7, percent_returned: 50 },
  ]);
  expect(rows[0].oldest_order.value).toBe('2025-09-26');
});

test('the hours are told', async () => {
  const [rows] = await bigquery.query({ query: sql('hours.sql'), params: partition });
  expect(rows.map((row) => [row.hour_utc.value.slice(0, 13), row.items_older_than_the_net])).toEqual([
    ['2025-11-19T23', 0],
    [`${DAY}T08`, 34],
    [`${DAY}T09`, 33],
    [`${DAY}T10`, 33],
  ]);
});

test('a temporary table over seven days of data is told from one that is not', async () => {
  const [rows] = await bigquery.query(sql('temp_table_days.sql'));
  expect(rows.map((row) => [row.temp_table, row.days_of_orders, row.gone_over])).toEqual([
    [`tmp_order_item_details_${DAY}`, 27, true],
    ['tmp_order_item_details_2025-11-19', 7, false],
  ]);
});

test('who writes a table, by a table in place of the view that only BigQuery has', async () => {
  const query = sql('who_writes.sql');
  const view = '`region-us`.INFORMATION_SCHEMA.JOBS_BY_PROJECT';
  expect(query).toContain(view);
  await expect(bigquery.query({ query, params: { table: 'order_items', days: 7 } })).rejects.toThrow();
  const job = (user: string, table: string, hoursAgo: number, label: string | null, reason: string | null) => `
    select '${user}' user_email, 'QUERY' job_type, 'INSERT' statement_type,
      timestamp_sub(current_timestamp(), interval ${hoursAgo} hour) creation_time,
      ${label === null ? 'cast([] as array<struct<key string, value string>>)' : `[struct('dayfill_pipeline' as key, '${label}' as value)]`} labels,
      struct(${reason === null ? 'cast(null as string)' : `'${reason}'`} as reason) error_result,
      struct('narvar-data-lake' as project_id, 'return_insights_base' as dataset_id, '${table}' as table_id) destination_table,
      1800000 total_slot_ms, 1000 total_bytes_processed`;
  await bigquery.query(
    `create table return_insights_base.jobs as ${[
      job('ingest@example.com', 'order_items', 1, null, null),
      job('ingest@example.com', 'order_items', 2, null, 'stopped'),
      job('worker@example.com', 'order_items', 3, 'order_items', null),
      job('worker@example.com', 'product_insights', 3, 'order_items', null),
      job('ingest@example.com', 'order_items', 24 * 8, null, null),
    ].join(' union all ')}`,
  );
  const [rows] = await bigquery.query({
    query: query.replace(view, 'return_insights_base.jobs'),
    params: { table: 'order_items', days: 7 },
  });
  expect(rows).toMatchObject([
    { user_email: 'ingest@example.com', pipeline: null, jobs: 2, failed: 1, slot_hours: 1, bytes_processed: 2000 },
    { user_email: 'worker@example.com', pipeline: 'order_items', jobs: 1, failed: 0 },
  ]);
});

test('each file is in the README, with its parameters', () => {
  const readme = readFileSync(path.join(FOLDER, 'README.md'), 'utf8');
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.sql'))) {
    const asked = readme.split('\n').find((line) => line.startsWith('ask') && line.endsWith(`< ${file}`));
    const given = [...asked!.matchAll(/--parameter=(\w+):/g)].map((match) => match[1]);
    const wanted = new Set([...sql(file).matchAll(/@(\w+)/g)].map((match) => match[1]));
    expect([file, given.sort()]).toEqual([file, [...wanted].sort()]);
  }
});
