import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { execa } from 'execa';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import { dayfill, dayfillJson } from '../support/talbots.js';

const DATASET = 'return_insights_base';
const DAYS = ['2025-11-17', '2025-11-18'];
const FLOODED = '2025-11-19';

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack({ services: ['temporal', 'bigquery', 'worker'] });
  await items('--from', '2025-11-16', '--days', '3');
  await items('--from', FLOODED, '--days', '1', '--over-again', '200');
});
afterAll(() => stack?.stop());

/** Delivers sample items; the arguments are those of `python -m sample_order_items`. */
async function items(...args: string[]): Promise<void> {
  const { venv, bigqueryEndpoint } = stack.config();
  await execa(path.join(venv, 'bin/python'), ['-m', 'sample_order_items', ...args], {
    cwd: path.resolve('warehouse'),
    env: { DAYFILL_BIGQUERY_ENDPOINT: bigqueryEndpoint! },
  });
}

// biome-ignore lint/suspicious/noExplicitAny: rows have whatever columns the query names
async function query(sql: string): Promise<any[]> {
  const [rows] = await bigQueryClients(stack.config())('narvar-data-lake').query({ query: sql, location: 'US' });
  return rows;
}

const insights = () =>
  query(
    `select retailer, product_id, string(order_date) as day, items_ordered, items_returned, string(revenue) as revenue
     from ${DATASET}.product_insights order by retailer, product_id, day`,
  );

/** The figures by themselves: all items that were ever ordered, each as it was last told of. */
const counted = (from: string) =>
  query(
    `select retailer, product_id, string(order_date) as day, sum(quantity) as items_ordered,
       sum(if(is_returned, quantity, 0)) as items_returned, string(sum(quantity * price)) as revenue
     from (
       select * from ${DATASET}.order_items where order_date >= '${from}'
       qualify row_number() over (partition by order_item_id order by ingestion_timestamp desc) = 1
     ) group by retailer, product_id, order_date order by retailer, product_id, day`,
  );

const temporaryTables = async () =>
  (await query(`select table_name as name from ${DATASET}.INFORMATION_SCHEMA.TABLES order by name`))
    .map(({ name }) => name as string)
    .filter((name) => name.startsWith('tmp_'));

test('each day takes in what arrived, and old orders that are ingested over again change nothing', async () => {
  const run = await dayfill(stack, 'run', 'order_items', '--from', DAYS[0]!, '--to', FLOODED);
  expect(run).toMatchObject({ exitCode: 0 });
  const [flood] = await query(`select count(*) as n from ${DATASET}.order_items where order_date < '2025-11-01'`);
  expect(flood.n).toBe(200);
  const figures = await insights();
  expect(figures.length).toBeGreaterThan(300);
  // The day before the first delivery has late items only.
  expect(figures).toEqual(await counted('2025-11-14'));
  expect(await temporaryTables()).toEqual([]);
  expect(await dayfillJson(stack, 'status', 'order_items')).toMatchObject({ stale: [] });
});

test('a day that is built again puts no newer figures back', async () => {
  const before = await insights();
  expect(await dayfill(stack, 'run', 'order_items', '--partitions', DAYS[0]!, '--force')).toMatchObject({
    exitCode: 0,
  });
  expect(await insights()).toEqual(before);
});

test('with the safety net off the flood is caught, and nothing of it stays', async () => {
  const before = await insights();
  const run = await dayfill(stack, 'run', 'order_items', '--partitions', FLOODED, '--var', 'safety_net=off', '--json');
  expect(run.exitCode).toBe(3);
  const { pipeline, partitions } = JSON.parse(run.stdout);
  expect(pipeline).toMatch(/^order_items~/);
  expect(partitions).toMatchObject([
    { partition: FLOODED, status: 'waiting', step: 'gather', failure: { kind: 'limit' } },
  ]);
  expect(partitions[0].failure.message).toMatch(/tmp_\w+_2025-11-19' holds \d+ days .* max_days of 7/);
  expect(await temporaryTables()).toEqual([]);
  expect(await insights()).toEqual(before);
  expect(
    await dayfill(stack, 'resolve', pipeline, FLOODED, 'skip', '--note', 'the source sends old orders'),
  ).toMatchObject({
    exitCode: 0,
  });
});
