import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { execa } from 'execa';
import { loadConfig } from '../../src/config.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { startDbt, type WarmDbt } from '../support/dbt.js';
import { seededRandom, shuffled } from '../support/identity.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';

const PROJECT = 'talbots-og-map-dev';
const SEED = 20250701;
const DAYS = Array.from({ length: 30 }, (_, index) => `2025-07-${String(index + 1).padStart(2, '0')}`);
const LAST_14 = DAYS.slice(-14);

/** A row of orders_landing; times are microseconds since 1970. */
interface Landed {
  order_id: string;
  event_id: string;
  event_time: number;
  event_ingested_at: number | null;
  order_date: string;
  cents: number;
}

/** Of an order: its date, its amount, and the event that said so. */
type Newest = Map<string, { date: string; cents: number; event: string }>;
/** Orders and cents of each order date. */
type Totals = Record<string, [orders: number, cents: number]>;

const { venv } = loadConfig();
let directory: string;
let emulator: BigQueryEmulator;
let bigquery: BigQuery;
let dbt: WarmDbt;
let everything: Landed[];
let counted: string;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-orders-'));
  emulator = await startBigQuery(venv, path.join(directory, 'bigquery'));
  bigquery = bigQueryClients({ bigqueryEndpoint: emulator.address })(PROJECT);
  const env = {
    PATH: `${path.join(venv, 'bin')}${path.delimiter}${process.env.PATH}`,
    HOME: directory,
    DAYFILL_BIGQUERY_ENDPOINT: emulator.address,
    DBT_SEND_ANONYMOUS_USAGE_STATS: 'false',
  };
  dbt = startDbt('orders', venv, path.join(directory, 'dbt'), env);
  for (const dataset of ['market_landing', 'market_orders']) await bigquery.createDataset(dataset);
  // What will land, some day: the sample source, out of reach of the project.
  const sample = ['-m', 'sample_orders', '--client', 'sample', '--orders', '60', '--seed', String(SEED)];
  const run = { cwd: path.resolve('warehouse'), env, extendEnv: false };
  counted = (await execa(path.join(venv, 'bin/python'), sample, run)).stdout;
  everything = await query(
    `select order_id, event_id, unix_micros(event_time) as event_time, unix_micros(event_ingested_at) as event_ingested_at,
       cast(order_date as string) as order_date, cast(amount * 100 as int64) as cents
     from sample_landing.orders_landing`,
  );
});
afterAll(async () => {
  await dbt?.stop();
  await emulator?.stop();
  rmSync(directory, { recursive: true, force: true });
});

beforeEach(async () => {
  for (const table of ['stg_orders', 'fct_orders']) await query(`drop table if exists market_orders.${table}`);
  await query(
    'create or replace table market_landing.orders_landing as select * from sample_landing.orders_landing where false',
  );
});

// biome-ignore lint/suspicious/noExplicitAny: rows have whatever columns the query names
async function query(sql: string, params?: Record<string, unknown>): Promise<any[]> {
  const [rows] = await bigquery.query({ query: sql, location: 'US', ...(params ? { params } : {}) });
  return rows;
}

/** The day's batches land. */
async function land(day: string): Promise<void> {
  await query(
    `insert into market_landing.orders_landing
     select * from sample_landing.orders_landing where date(batch_hour) = date(@day)`,
    { day },
  );
}

/** What `dayfill run orders` runs for a day: dbt build with its partition, here without the tests. */
async function build(...days: readonly string[]): Promise<void> {
  for (const day of days) {
    const vars = { client: 'market', project_id: PROJECT, partition_key: day };
    const command = ['build', '--exclude-resource-type', 'test', '--select', 'stg_orders', 'fct_orders'];
    await dbt.invoke(command, ['--target', 'oauth', '--vars', JSON.stringify(vars)]);
  }
}

/** The views, and the tests of the project. */
async function buildViews(day: string): Promise<void> {
  const vars = { client: 'market', project_id: PROJECT, partition_key: day };
  await dbt.invoke(
    ['build', '--select', 'revenue_rollup', 'finance_dashboard', 'resource_type:test'],
    ['--target', 'oauth', '--vars', JSON.stringify(vars)],
  );
}

/** The newest version of every order, worked out from landed rows by a way of its own. */
function recompute(rows: readonly Landed[]): Newest {
  const arrived = (row: Landed) => row.event_ingested_at ?? row.event_time;
  const oldestFirst = [...rows].sort(
    (a, b) => a.event_time - b.event_time || arrived(a) - arrived(b) || (a.event_id < b.event_id ? -1 : 1),
  );
  return new Map(
    oldestFirst.map(({ order_id, order_date: date, cents, event_id: event }) => [order_id, { date, cents, event }]),
  );
}

/** What could be known at the end of a day. */
function arrivedUntil(day: string): Landed[] {
  const end = (Date.parse(`${day}T00:00:00Z`) + 86_400_000) * 1000;
  return everything.filter(({ event_time, event_ingested_at: at }) => (at ?? event_time) < end);
}

function totalsOf(orders: Newest): Totals {
  const totals: Totals = {};
  for (const { date, cents } of orders.values()) {
    const [count, sum] = totals[date] ?? [0, 0];
    totals[date] = [count + 1, sum + cents];
  }
  return totals;
}

async function totals(sql: string, params?: Record<string, unknown>): Promise<Totals> {
  const rows = await query(
    `select cast(order_date as string) as date, orders, cast(revenue * 100 as int64) as cents from ${sql}`,
    params,
  );
  return Object.fromEntries(rows.map(({ date, orders, cents }) => [date, [orders, cents]]));
}

const asOf = (day: string) =>
  totals(
    'market_orders.finance_dashboard where as_of_from <= date(@day) and (as_of_to is null or date(@day) < as_of_to)',
    { day },
  );

async function builtOrders(): Promise<Newest> {
  const rows = await query(
    `select order_id, cast(order_date as string) as date, cast(amount * 100 as int64) as cents, event_id as event
     from market_orders.fct_orders`,
  );
  const found = new Map(rows.map(({ order_id, ...order }) => [order_id, order]));
  expect(found.size).toBe(rows.length); // every order once
  return found;
}

/** Every row of both tables as text. */
async function contents(): Promise<Record<string, string[]>> {
  const all: Record<string, string[]> = {};
  for (const table of ['stg_orders', 'fct_orders']) {
    const rows = await query(`select to_json_string(t) as line from market_orders.${table} as t order by line`);
    all[table] = rows.map(({ line }) => line);
  }
  return all;
}

/** The tables of the first order of arrival, which the others must come to as well. */
let inOrder: Record<string, string[]>;

test('the fixture has what it promises: 5 % late, some twice, some corrected, some moved, many without a time', () => {
  const events = new Set(everything.map(({ event_id }) => event_id)).size;
  const share = (what: string) => Number(new RegExp(`${what}: (\\d+) `).exec(counted)![1]) / events;
  expect(everything.filter(({ event_ingested_at: at }) => at === null).length / events).toBeGreaterThan(0.4);
  const hourLater = everything.filter(
    ({ event_time, event_ingested_at: at }) => (at ?? 0) - event_time >= 3_600_000_000,
  );
  expect(share('late')).toBeGreaterThan(0.035);
  expect(share('late')).toBeLessThan(0.065);
  expect(hourLater.length / events).toBeCloseTo(share('late') + share('sent twice'), 3);
  for (const what of ['sent twice', 'corrected amounts', 'moved to another date']) {
    expect(share(what)).toBeGreaterThan(0.003);
  }
});

test('arrival in order: each evening tells what could be known, and can be asked for ever after', async () => {
  const believed: Record<string, Totals> = {};
  for (const day of DAYS) {
    await land(day);
    await build(day);
    believed[day] = await totals(
      '(select order_date, count(*) as orders, sum(amount) as revenue from market_orders.fct_orders group by 1)',
    );
  }
  await buildViews(DAYS.at(-1)!);
  expect(await builtOrders()).toEqual(recompute(everything));
  expect(await totals('market_orders.revenue_rollup')).toEqual(totalsOf(recompute(everything)));
  for (const day of DAYS) {
    expect(believed[day]).toEqual(totalsOf(recompute(arrivedUntil(day))));
    expect(await asOf(day)).toEqual(believed[day]);
  }
  expect(await asOf('2026-01-01')).toEqual(await totals('market_orders.revenue_rollup'));
  expect(await asOf('2025-06-30')).toEqual({});
  inOrder = await contents();
}, 960_000);

test('days landed and built in a shuffled order', async () => {
  const order = shuffled(DAYS, seededRandom(SEED));
  console.log(`seed ${SEED}: ${order.map((day) => day.slice(-2)).join(' ')}`);
  for (const day of order) {
    await land(day);
    await build(day);
  }
  expect(await builtOrders()).toEqual(recompute(everything));
  expect(await contents()).toEqual(inOrder);
}, 960_000);

test('batches that land days after their day was built: the lookback and the merge of the last 14 days make up for it', async () => {
  const random = seededRandom(SEED + 1);
  const late = new Map(
    DAYS.map((day, index) => [day, Math.min(index + random(LAST_14.includes(day) ? 14 : 4), DAYS.length - 1)]),
  );
  console.log(`seed ${SEED}: landed on days ${[...late.values()].map((index) => index + 1).join(' ')}`);
  for (const [index, day] of DAYS.entries()) {
    for (const [batches, landsOn] of late) if (landsOn === index) await land(batches);
    await build(day);
  }
  const versionsUntil = (contents: Record<string, string[]>) =>
    contents.stg_orders!.filter((line) => JSON.parse(line).ingested_on < LAST_14[0]!);
  const before = await contents();
  expect(versionsUntil(before)).toEqual(versionsUntil(inOrder));
  expect(before).not.toEqual(inOrder);

  await build(...shuffled(LAST_14, random));
  expect(await builtOrders()).toEqual(recompute(everything));
  expect(await contents()).toEqual(inOrder);
  await build(...[...LAST_14].reverse());
  expect(await contents()).toEqual(inOrder);
}, 960_000);

/** Times are hours after midnight of 2025-07-10. */
type Typed = [
  order: string,
  event: string,
  time: number,
  ingested: number | null,
  batch: number,
  date: string,
  amount: number,
];

const EDGES: Typed[] = [
  ['older version comes last', 'a2', 10, null, 10, '2025-07-10', 20],
  ['older version comes last', 'a1', 9, 49, 49, '2025-07-10', 10],
  ['equally old: the later arrival', 'b2', 10, null, 10, '2025-07-10', 10],
  ['equally old: the later arrival', 'b1', 10, 30, 30, '2025-07-10', 20],
  ['equally old, arrived together: the greater event', 'c1', 10, 11, 11, '2025-07-10', 30],
  ['equally old, arrived together: the greater event', 'c2', 10, 11, 11, '2025-07-10', 20],
  ['same event, same times, another amount', 'd', 10, null, 10, '2025-07-10', 10],
  ['same event, same times, another amount', 'd', 10, null, 10, '2025-07-10', 20],
  ['moves far', 'e1', 10, null, 10, '2025-07-10', 10],
  ['moves far', 'e2', 50, null, 50, '2026-02-28', 20],
  ['moves and comes back', 'f1', 10, null, 10, '2025-07-10', 10],
  ['moves and comes back', 'f2', 30, null, 30, '2025-05-01', 10],
  ['moves and comes back', 'f3', 60, null, 60, '2025-07-10', 20],
  ['its clock is ahead', 'g', 500, null, 26, '2025-07-11', 20],
  ['last moment of the day', 'h', 23.9999, null, 23, '2025-07-10', 20],
  ['landed four times', 'i', 10, null, 10, '2025-07-10', 20],
  ['landed four times', 'i', 10, null, 10, '2025-07-10', 20],
  ['landed four times', 'i', 10, 35, 35, '2025-07-10', 20],
  ['landed four times', 'i', 10, 60, 60, '2025-07-10', 20],
];

async function landTyped(rows: readonly Typed[]): Promise<void> {
  const values = rows.map(([order, event, ...rest]) => {
    const [time, ingested, batch, date, amount] = rest;
    const at = (hours: number) =>
      `timestamp_micros(${Date.UTC(2025, 6, 10) * 1000 + Math.round(hours * 3_600_000_000)})`;
    const ingestedAt = ingested === null ? 'null' : at(ingested);
    return `('${order}', '${event}', ${at(time)}, ${ingestedAt}, ${at(batch)}, date '${date}', 'Hingham', ${amount})`;
  });
  await query(
    `insert into market_landing.orders_landing
       (order_id, event_id, event_time, event_ingested_at, batch_hour, order_date, store, amount)
     values ${values.join(', ')}`,
  );
}

test.each([
  ['as they come', ['2025-07-10', '2025-07-11', '2025-07-12']],
  ['newest first', ['2025-07-12', '2025-07-11', '2025-07-10']],
  ['over and over', ['2025-07-11', '2025-07-12', '2025-07-11', '2025-07-10', '2025-07-12']],
])('what happens seldom, merged %s', async (_, days) => {
  await landTyped(EDGES);
  await build(...days);
  await buildViews(days.at(-1)!);
  const found = await builtOrders();
  expect([...found.keys()].sort()).toEqual([...new Set(EDGES.map(([order]) => order))].sort());
  expect([...found].filter(([, { cents }]) => cents !== 2000)).toEqual([]);
  expect(found.get('moves far')!.date).toBe('2026-02-28');
  expect(found.get('moves and comes back')!.date).toBe('2025-07-10');
  // Nine orders in the end, but the one whose clock is ahead came on the second day, and two are on other dates in between.
  expect(await asOf('2025-07-10')).toEqual({ '2025-07-10': [8, 13_000] });
  expect(await asOf('2025-07-11')).toEqual({
    '2025-05-01': [1, 1000],
    '2025-07-10': [7, 13_000],
    '2025-07-11': [1, 2000],
  });
  expect(await asOf('2025-07-12')).toEqual(totalsOf(found));
});

test('a merge looks into the partitions that hold its orders, wherever these move, and into no other', async () => {
  await landTyped([
    ['moves', 'p1', -110, null, -110, '2025-07-05', 10],
    ['stays', 'r', -109, null, -109, '2025-07-04', 10],
    ['comes again', 'q', 10, null, 10, '2025-07-10', 10],
    ['moves', 'p2', 30, null, 30, '2025-07-20', 10],
  ]);
  await build('2025-07-05', '2025-07-10', '2025-07-11');
  const [jobs] = await bigquery.getJobs({ projection: 'full' } as object);
  const merges = jobs
    .map(({ metadata }) => metadata.configuration.query?.query as string | undefined)
    .filter((sql) => sql?.includes('merge into `talbots-og-map-dev`.`market_orders`.'));
  const [facts, versions] = ['fct_orders', 'stg_orders'].map((table) =>
    merges.find((sql) => sql!.includes(`\`${table}\` as DBT_INTERNAL_DEST`)),
  );
  const window = "ingested_on between date_sub(date '2025-07-11', interval 3 day) and date '2025-07-11'";
  expect(facts).toContain("DBT_INTERNAL_DEST.order_date in (date '2025-07-05', date '2025-07-10')");
  expect(facts).toContain(`where ${window}`);
  expect(versions).toContain(`DBT_INTERNAL_DEST.${window}`);
  expect(versions).toContain("where batch_hour >= timestamp(date_sub(date '2025-07-11', interval 3 day))");
  expect(totalsOf(await builtOrders())).toEqual({
    '2025-07-04': [1, 1000],
    '2025-07-10': [1, 1000],
    '2025-07-20': [1, 1000],
  });
});
