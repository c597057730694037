import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestStack, type TestStack } from '../support/stack.js';
import { dayfill, query } from '../support/talbots.js';

/** One row per order, the last that landed on these days: by SQL that shares nothing with the models. */
const FROM_SCRATCH = `
  select landed.order_id, landed.order_date, landed.amount
  from market_landing.orders_landing as landed
  where not exists (
    select 1 from market_landing.orders_landing as newer
    where newer.order_id = landed.order_id and newer.event_time > landed.event_time
  )
  group by 1, 2, 3`;

let stack: TestStack;

beforeAll(async () => {
  stack = await startTestStack({ services: ['temporal', 'bigquery', 'worker'] });
});
afterAll(() => stack?.stop());

async function statuses(...args: string[]): Promise<Record<string, string>> {
  const { exitCode, stdout, stderr } = await dayfill(stack, 'run', 'orders', ...args, '--json');
  if (exitCode !== 0) throw new Error(`dayfill run orders ended with ${exitCode}: ${stderr}`);
  const { partitions } = JSON.parse(stdout) as { partitions: { partition: string; status: string }[] };
  return Object.fromEntries(partitions.map(({ partition, status }) => [partition, status]));
}

async function tables(): Promise<string[][]> {
  const names = ['market_landing.orders_landing', 'market_orders.stg_orders', 'market_orders.fct_orders'];
  return Promise.all(
    names.map(async (name) => {
      const rows = await query(stack, `select to_json_string(t) as line from ${name} as t order by line`);
      return rows.map(({ line }) => line);
    }),
  );
}

test('two days by the command line, and both again in the other order: nothing changes', async () => {
  const days = ['--from', '2025-07-01', '--to', '2025-07-02'];
  const succeeded = { '2025-07-01': 'succeeded', '2025-07-02': 'succeeded' };
  expect(await statuses(...days)).toEqual(succeeded);
  const built = await tables();
  const wrong = `
    select count(*) as orders, countif(fct.order_id is null or fct.amount <> scratch.amount) as wrong,
      (select count(*) from market_orders.fct_orders) as facts
    from (${FROM_SCRATCH}) as scratch
    left join market_orders.fct_orders as fct on fct.order_id = scratch.order_id and fct.order_date = scratch.order_date`;
  const [counts] = await query(stack, wrong);
  expect(counts).toEqual({ orders: counts.facts, wrong: 0, facts: expect.any(Number) });
  expect(counts.facts).toBeGreaterThan(350);

  expect(await statuses(...days, '--order', 'desc', '--force')).toEqual(succeeded);
  expect(await tables()).toEqual(built);
}, 960_000);

test('orders that do not add up with what landed make the day wait, with both figures', async () => {
  const one = "select min(order_id) from market_orders.fct_orders where order_date = date '2025-07-01'";
  await query(stack, `update market_orders.fct_orders set amount = amount + 1 where order_id = (${one})`);
  const again = ['--partitions', '2025-07-02', '--force', '--from-step', 'reconcile', '--json'];
  const { exitCode, stdout } = await dayfill(stack, 'run', 'orders', ...again);
  expect(exitCode).toBe(3);
  const [day] = JSON.parse(stdout).partitions.filter((each: { status: string }) => each.status === 'waiting');
  expect(day).toMatchObject({ partition: '2025-07-02', step: 'reconcile', failure: { kind: 'mismatch' } });
  expect(day.failure.message).toMatch(
    /^1 of 14 days differ: 2025-07-01: revenue [\d.]+ in the source, [\d.]+ in the target \(1 more\)\.$/,
  );
});
