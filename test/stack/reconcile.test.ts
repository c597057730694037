import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { pino } from 'pino';
import { checkReconcile } from '../../src/activities/check-reconcile.js';
import type { StepDeps } from '../../src/activities/step-activity.js';
import type { StepActivity } from '../../src/contracts/activities.js';
import type { StepFailure } from '../../src/contracts/failure.js';
import type { StepRequest, StepResult } from '../../src/contracts/step.js';
import { createRunner } from '../../src/runners/create-runner.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { createQueryGuard } from '../../src/warehouse/fixes/guard.js';
import { openTotalsRecord } from '../../src/warehouse/told-totals.js';
import { type CommandStack, startCommandStack } from '../support/command-pipelines.js';
import { type Post, Webhooks } from './fixtures/listeners.js';
import { until } from './fixtures/processes.js';
import { NO_PROTECTED_TABLES } from './fixtures/protected-tables.js';

const PROJECT = 'dayfill-local';
const [D14, D15, D16] = ['2025-07-14', '2025-07-15', '2025-07-16'] as const;

let webhooks: Webhooks;
let commands: CommandStack;
let bigquery: BigQuery;

beforeAll(async () => {
  webhooks = await Webhooks.start();
  commands = await startCommandStack({ env: { DATA_PLATFORM: webhooks.url('/data-platform') } });
  bigquery = bigQueryClients(commands.stack.config())(PROJECT);
  await bigquery.createDataset('shop', { location: 'US' });
});
afterAll(async () => {
  await commands?.stop();
  await webhooks?.stop();
});

/** A query that gives these totals of a day, amounts as NUMERIC. */
type DayOf = [day: string | null, orders: number | string, amount: string | null];
function query(...days: DayOf[]): string {
  if (days.length === 0) return `${query([D16, 1, '1'])} from unnest([1]) where false`;
  const rows = days.map(([day, orders, amount]) => {
    const date = day === null ? 'cast(null as date)' : `date '${day}'`;
    const number = amount === null ? 'cast(null as numeric)' : `numeric '${amount}'`;
    return `select ${date} as day, ${orders} as orders, ${number} as amount`;
  });
  return rows.join(' union all ');
}

interface RunOptions {
  step?: string;
  runId?: string;
  /** Null: those of the partition. */
  days?: number | null;
}

interface Ran {
  result: StepResult | null;
  failure: StepFailure | null;
}

let attempts = 0;
/** Compares two queries as the step of 16 July does. @param runId run of the partition; another one each time by default. */
async function compared(
  source: string,
  target: string,
  more: StepRequest['with'] = {},
  { step = `reconcile-${++attempts}`, runId = `run-${attempts}`, days = 14 }: RunOptions = {},
): Promise<Ran> {
  const config = commands.stack.config();
  const folder = path.join(config.pipelinesDir, 'probe');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'source.sql'), source);
  writeFileSync(path.join(folder, 'target.sql'), target);
  const logger = pino({ level: 'silent' });
  const runner = createRunner({ stateDir: config.stateDir, logger });
  const deps: StepDeps = {
    config,
    runner,
    logger,
    clients: bigQueryClients(config),
    warn: async () => {},
    cancelLabelledJobs: async () => {},
    protectedTables: NO_PROTECTED_TABLES,
  };
  const workflowExecution = { workflowId: `probe/${D16}`, runId };
  const environment = new MockActivityEnvironment(
    { activityId: `${++attempts}`, workflowExecution },
    { logger: new DefaultLogger('ERROR') },
  );
  const activity = checkReconcile({
    clients: bigQueryClients(config),
    queryGuard: createQueryGuard(path.join(config.venv, 'bin', 'python')),
    totalsRecord: openTotalsRecord(bigquery, 'dayfill', 'US'),
  })(deps);
  try {
    const result = await environment.run<[StepRequest], StepResult, StepActivity>(activity, {
      key: `probe/${D16}/${step}`,
      pipeline: 'probe',
      partition: { key: D16, start: D16, end: D16 },
      step,
      project: PROJECT,
      with: { source: 'source.sql', target: 'target.sql', project: PROJECT, ...(days !== null && { days }), ...more },
      timeoutMs: 60_000,
      retry: { attempts: 1, initialMs: 10 },
    });
    return { result, failure: null };
  } catch (error) {
    if (!(error instanceof ApplicationFailure)) throw error;
    return { result: null, failure: error.details![0] as StepFailure };
  } finally {
    await runner.close();
  }
}

describe('totals', () => {
  test('that agree are a success, in whatever order they come', async () => {
    const [one, two]: DayOf[] = [
      [D15, '9007199254740993', '12345678901234567890.123456789'],
      [D16, 2, null],
    ];
    const { result } = await compared(query(one!, two!), query(two!, one!));
    expect(result).toMatchObject({
      counts: { daysCompared: 14, daysRevised: 0 },
      jobIds: [expect.any(String), expect.any(String)],
    });
    expect(result?.revised).toBeUndefined();
  });

  test('of nothing on either side agree', async () => {
    expect((await compared(query(), query())).failure).toBeNull();
  });

  test('are asked for by the days of the window, or of the partition', async () => {
    const days = (to: string) =>
      `select day, 1 as orders from unnest(generate_date_array(@window_start, ${to})) as day`;
    expect((await compared(days('@window_end'), days('@partition_end'))).failure).toBeNull();
    const { failure } = await compared(days('@window_end'), `${days('@window_end')} where false`, {}, { days: 2 });
    expect(failure!.message).toContain('2 of 2 days differ: 2025-07-15 is missing');
    const own = query([D16, 1, '1']);
    const { result } = await compared(own, own, {}, { days: null });
    expect(result?.counts.daysCompared).toBe(1);
  });

  test.each<[string, DayOf[], DayOf[], string]>([
    ['a count', [[D16, 3, '1']], [[D16, 2, '1']], `${D16}: orders 3 in the source, 2 in the target (1 less)`],
    ['the ninth decimal', [[D16, 1, '0.1']], [[D16, 1, '0.100000001']], '(0.000000001 more)'],
    [
      'what a double cannot tell apart',
      [[D16, '9007199254740992', '1']],
      [[D16, '9007199254740993', '1']],
      'orders 9007199254740992 in the source, 9007199254740993 in the target (1 more)',
    ],
    ['null and nought', [[D16, 1, null]], [[D16, 1, '0']], `${D16}: amount null in the source, 0 in the target`],
    [
      'a day that did not come',
      [
        [D15, 1, '5'],
        [D16, 1, '1'],
      ],
      [[D16, 1, '1']],
      `${D15} is missing in the target (orders 1, amount 5)`,
    ],
    ['a day out of nowhere', [], [[D16, 0, null]], `${D16} is in the target only (orders 0, amount null)`],
  ])('that differ by %s are a mismatch', async (_, source, target, message) => {
    const { failure } = await compared(query(...source), query(...target));
    expect(failure).toMatchObject({ kind: 'mismatch', message: expect.stringContaining(message) });
    expect(failure!.message).toMatch(/^1 of 14 days differ: /);
  });

  test('may differ by either tolerance, and not by more', async () => {
    const by = (amount: string, tolerance: StepRequest['with']) =>
      compared(query([D16, 1000, '-200']), query([D16, 1000, amount]), { tolerance });
    expect((await by('-200.5', { absolute: 0.5 })).failure).toBeNull();
    expect((await by('-200.500000001', { absolute: 0.5 })).failure).toMatchObject({ kind: 'mismatch' });
    expect((await by('-201', { absolute: '0.1', percent: 0.5 })).failure).toBeNull();
    expect((await by('-201.000000001', { percent: '0.5' })).failure).toMatchObject({ kind: 'mismatch' });
  });

  test('of many days are told as far as there is room', async () => {
    const days = (first: number) =>
      `select day, ${Array.from({ length: 9 }, (_, i) => `${first + i} as a_column_with_a_long_name_${i}`).join(', ')}
       from unnest(generate_date_array(@window_start, @window_end)) as day`;
    const { failure } = await compared(days(1), days(2), {}, { days: 400 });
    expect(failure!.message.length).toBeLessThan(3200);
    expect(failure!.message).toMatch(/^400 of 400 days differ: 2024-06-12: .*; and 39\d more\.$/);
  });
});

describe('a query', () => {
  test.each([
    ['delete from shop.orders where true', /source.sql, line 1: DELETE is not allowed here: write one SELECT/],
    ['create or replace table shop.x as select 1', /CREATE is not allowed here/],
    [`${query([D16, 1, '1'])}; drop table shop.orders`, /line 1: a second statement begins here/],
    ["execute immediate 'drop table shop.orders'", /EXECUTE IMMEDIATE is not allowed here/],
    ['with gone as (delete from shop.orders where true) select * from gone', /changes something/],
    ['call shop.wipe()', /CALL is not allowed here/],
    ['', /has no statement/],
  ])('that is no single SELECT is refused: %s', async (sql, message) => {
    const { failure } = await compared(sql, query());
    expect(failure).toMatchObject({ kind: 'pipeline', message: expect.stringMatching(message) });
  });

  test.each([
    ["select '2025-07-16' as day, 1 as orders", /has no column day of type DATE/],
    [`select date '${D16}' as day`, /gives days and nothing else/],
    [`select date '${D16}' as day, 'x' as store`, /has the column store, which is no number/],
    [query([D16, 1, '1'], [D16, 2, '2']), /gives 2025-07-16 twice: group by day/],
    [query(['2025-07-02', 1, '1']), /gives 2025-07-02, which is not asked for/],
    [query([null, 1, '1']), /gives totals without a day/],
    [`select date '${D16}' as day, 1 as rows_there`, /gives rows_there and target.sql gives orders, amount/],
    [`select date '${D16}' as day, ieee_divide(0, 0) as orders`, /gives no number as orders of 2025-07-16/],
  ])('that gives something else is told so: %s', async (sql, message) => {
    const { failure } = await compared(sql, query([D16, 1, '1']));
    expect(failure).toMatchObject({ kind: 'pipeline', message: expect.stringMatching(message) });
  });

  test('that BigQuery refuses is an error of SQL', async () => {
    const { failure } = await compared('select nope from shop.nowhere', query());
    expect(failure).toMatchObject({ kind: 'sql_error' });
  });
});

describe('revised totals', () => {
  const same = (days: DayOf[], run: { step: string; runId: string }) =>
    compared(query(...days), query(...days), {}, run);

  test('are those that another run had otherwise; another attempt finds the same', async () => {
    const step = 'revising';
    expect(
      (
        await same(
          [
            [D14, 1, '10'],
            [D15, 2, '20'],
          ],
          { step, runId: 'a' },
        )
      ).result?.revised,
    ).toBeUndefined();
    const later: DayOf[] = [
      [D14, 2, '10.50'],
      [D15, 2, '20.0'],
      [D16, 3, '30'],
    ];
    const revised = {
      days: [
        {
          day: D14,
          figures: [
            { name: 'orders', before: '1', after: '2' },
            { name: 'amount', before: '10', after: '10.5' },
          ],
        },
      ],
      more: 0,
    };
    expect((await same(later, { step, runId: 'b' })).result).toMatchObject({ revised, counts: { daysRevised: 1 } });
    expect((await same(later, { step, runId: 'b' })).result).toMatchObject({ revised });
    expect((await same(later, { step, runId: 'c' })).result?.revised).toBeUndefined();
    const gone = await same(later.slice(1), { step, runId: 'd' });
    expect(gone.result?.revised?.days).toEqual([
      {
        day: D14,
        figures: [
          { name: 'orders', before: '2', after: null },
          { name: 'amount', before: '10.5', after: null },
        ],
      },
    ]);
    expect((await same(later.slice(1), { step, runId: 'e' })).result?.revised).toBeUndefined();
  });

  test('are told once for each run of a day, with old and new figures, to whom the pipeline says', async () => {
    const day = (table: string) => `select day, count(*) as orders, sum(amount) as amount from shop.${table}
      where day between @window_start and @window_end group by day`;
    const reconcile = {
      id: 'reconcile',
      uses: 'check/reconcile',
      with: { source: 'landed.sql', target: 'orders.sql', days: 14 },
    };
    const shop = commands.pipeline('shop', {
      vars: { project_id: PROJECT },
      notify: [{ slack: 'DATA_PLATFORM', on: ['revised'] }],
      steps: [reconcile],
    });
    writeFileSync(path.join(shop.dir, 'landed.sql'), day('landed'));
    writeFileSync(path.join(shop.dir, 'orders.sql'), day('orders'));
    for (const table of ['landed', 'orders']) {
      await bigquery.query(`create table shop.${table} as select date '${D14}' as day, numeric '10' as amount
        union all select date '${D15}', numeric '20'`);
    }
    const land = (table: string) =>
      bigquery.query(`insert into shop.${table} values (date '${D14}', numeric '2.5'), (date '${D15}', numeric '1')`);
    expect(await shop.run({ partitions: [D15, D16] })).toMatchObject({ counts: { succeeded: 2 } });

    await land('landed');
    await shop.start({ partitions: [D15, D16], force: true });
    const failure = await shop.waiting(D15);
    expect(failure).toMatchObject({ kind: 'mismatch' });
    expect(failure.message).toContain(`2 of 14 days differ: ${D14}: orders 2 in the source, 1 in the target (1 less)`);
    await land('orders');
    await shop.resolve(D15, { action: 'retry', failure: failure.id });
    expect(await shop.backfill().result()).toMatchObject({ counts: { succeeded: 1, fixed: 1 } });
    const told = () => webhooks.sentTo('/data-platform').map(({ body }: Post) => String(body.text));
    const [text] = await until('the notice', () => (told().length > 0 ? told() : null));
    expect(text).toContain(`shop: totals of 2 days revised by ${D15}`);
    expect(text).toContain(`${D14}: orders from 1 to 2, amount from 10 to 12.5`);
    expect(text).toContain(`${D15}: orders from 1 to 2, amount from 20 to 21`);
    await shop.run({ partitions: [D15, D16], force: true });
    expect(told()).toHaveLength(1);
  });
});
