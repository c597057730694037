import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sha256Hex } from '../../src/contracts/ids.js';
import { DAY, failingTest, PROJECT, type Shop, startShop } from './fixtures/shop.js';

const NEXT_DAY = '2025-07-17';

let shop: Shop;
beforeAll(async () => {
  shop = await startShop();
});
afterAll(() => shop?.stop());

const ORDERS = '(day date, id string, customer string, channel string, amount numeric, updated_at timestamp)';
let tables = 0;

/** A table of orders, and what stands in it as `day id customer channel amount hour` lines; `-` is null. */
async function orders(...lines: string[]): Promise<string> {
  const name = `shop.orders_${++tables}`;
  await shop.query(`create table \`${name}\` ${ORDERS} partition by day`);
  const literal = (text: string) => (text === '-' ? 'null' : `'${text}'`);
  const rows = lines.map((line) => {
    const [day, id, customer, channel, amount, hour] = line.split(' ') as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const time = hour === '-' ? 'null' : `timestamp '${day} ${hour}:00:00'`;
    return `(date '${day}', ${[id, customer, channel].map(literal).join(', ')}, ${amount}, ${time})`;
  });
  await shop.query(`insert into \`${name}\` values ${rows.join(', ')}`);
  return name;
}

async function linesOf(table: string, more = ''): Promise<string[]> {
  const rows = await shop.query(`select * from \`${table}\``);
  return rows
    .map(({ day, id, customer, channel, amount, updated_at: at, ...rest }) =>
      [day.value, id, customer, channel, amount, at?.value.slice(11, 13), ...(more === '' ? [] : [rest[more]])]
        .map((value) => value ?? '-')
        .join(' '),
    )
    .sort();
}

describe('the rules', () => {
  const good = `${DAY} 1 ann web 5 10`;
  const nextDay = [`${NEXT_DAY} 2 - fax 5 10`, `${NEXT_DAY} 2 - fax 5 10`];

  test.each([
    {
      kind: 'unique',
      column: 'id',
      rows: [
        `${DAY} 2 ann web 5 10`,
        `${DAY} 2 ann web 6 12`,
        `${DAY} 2 ann web 7 -`,
        `${DAY} - ann web 1 01`,
        `${DAY} - ann web 1 01`,
      ],
      kept: [`${DAY} 2 ann web 6 12`, `${DAY} - ann web 1 01`, `${DAY} - ann web 1 01`],
      moved: [
        `${DAY} 2 ann web 5 10 id is not unique: a later row was kept`,
        `${DAY} 2 ann web 7 - id is not unique: a later row was kept`,
      ],
    },
    {
      kind: 'not_null',
      column: 'customer',
      rows: [`${DAY} 2 - web 5 10`, `${DAY} 3 - web 5 10`],
      kept: [],
      moved: [`${DAY} 2 - web 5 10 customer is null`, `${DAY} 3 - web 5 10 customer is null`],
    },
    {
      kind: 'accepted_values',
      column: 'channel',
      given: { values: ['web', 'store', "it's"] },
      rows: [`${DAY} 2 ann fax 5 10`, `${DAY} 3 ann - 5 10`],
      kept: [`${DAY} 3 ann - 5 10`],
      moved: [`${DAY} 2 ann fax 5 10 channel is none of the accepted values`],
    },
    {
      kind: 'relationships',
      column: 'customer',
      given: { to: `${PROJECT}.shop.customers`, field: 'id' },
      rows: [`${DAY} 2 bob web 5 10`, `${DAY} 3 - web 5 10`],
      kept: [`${DAY} 3 - web 5 10`],
      moved: [`${DAY} 2 bob web 5 10 customer is not in ${PROJECT}.shop.customers.id`],
    },
  ])(
    '$kind: move what offends, of the partition alone, once',
    async ({ kind, column, given, rows, kept, moved }) => {
      await shop.query("create table if not exists shop.customers as select 'ann' as id union all select null");
      const table = await orders(good, ...rows, ...nextDay);
      const about = [failingTest(kind, table, column, { arguments: given ?? {} })];
      const proposal = (await shop.advise(about))!;
      expect(proposal).toMatchObject({
        failure: 'run-1',
        remedyClass: kind,
        proposedBy: 'rules',
        viaMcp: false,
        sha256: sha256Hex(proposal.sql),
        explanation: expect.stringMatching(moved.length === 1 ? /^Moves 1 row w/ : /^Moves 2 rows w/),
        rehearsal: { allowed: true, reason: null, rows: moved.length },
      });
      expect(await linesOf(table)).toEqual([good, ...rows, ...nextDay].sort());
      for (const _time of ['once', 'twice']) {
        await shop.query(proposal.sql);
        expect(await linesOf(table)).toEqual([good, ...kept, ...nextDay].sort());
        expect(await linesOf(`${table}_quarantine`, 'quarantined_reason')).toEqual([...moved].sort());
      }
    },
    60_000,
  );

  test('one of several equal rows is kept, and put back as it was', async () => {
    await shop.query(
      `create table shop.nested (day date, id int64, tags array<string>, shape struct<a int64, b string>)`,
    );
    const row = (id: number) => `(date '${DAY}', ${id}, ['x', 'y'], struct(1, 'b'))`;
    await shop.query(`insert into shop.nested values ${[row(1), row(1), row(1), row(2)].join(', ')}`);
    const { sql, rehearsal } = (await shop.advise([failingTest('unique', 'shop.nested', 'id')]))!;
    expect(rehearsal).toMatchObject({ rows: 2, testPasses: true });
    await shop.query(sql);
    const whole = (id: number) => expect.objectContaining({ id, tags: ['x', 'y'], shape: { a: 1, b: 'b' } });
    expect(await shop.query('select * from shop.nested order by id')).toEqual([whole(1), whole(2)]);
    expect(await shop.query('select * from shop.nested_quarantine')).toEqual([whole(1), whole(1)]);
  });

  test('the text is the same on every day, with the day of the test as a parameter', async () => {
    const table = await orders(`${DAY} 1 - web 5 10`, `${NEXT_DAY} 1 - web 5 10`, `${NEXT_DAY} 2 - fax 5 10`);
    const on = (day: string) =>
      shop.advise(
        [
          failingTest('not_null', table, 'customer', {
            arguments: { where: `day = '${day}' and channel != 'fax' and updated_at >= timestamp '${day}'` },
          }),
        ],
        { partition: day },
      );
    const [one, other] = [await on(DAY), await on(NEXT_DAY)];
    expect(one!.sha256).toBe(other!.sha256);
    expect(one!.sql).not.toContain('2025');
    expect([one!.rehearsal.rows, other!.rehearsal.rows]).toEqual([1, 1]);
  });

  test('a chunk of days is healed as one, by the day of a timestamp', async () => {
    await shop.query(
      'create table shop.events (id string, happened_at timestamp) partition by timestamp_trunc(happened_at, day)',
    );
    const at = ['2025-07-12 23:59:59', '2025-07-13 00:00:00', '2025-07-16 23:59:59.999', '2025-07-17 00:00:00'];
    await shop.query(`insert into shop.events values ${at.map((time) => `(null, timestamp '${time}')`).join(', ')}`);
    const about = [failingTest('not_null', 'shop.events', 'id')];
    const { sql, rehearsal } = (await shop.advise(about, { pipeline: 'chunks', partition: '2025-07-13..2025-07-16' }))!;
    expect(rehearsal).toMatchObject({ allowed: true, rows: 2 });
    expect(sql).toContain('partition by timestamp_trunc(`happened_at`, DAY)');
  });

  test('what a build makes anew is healed at its source, where that has just the rows that fail', async () => {
    const source = await orders(`${DAY} 1 ann web 5 10`, `${DAY} 2 - web 5 10`);
    const model = await orders(`${DAY} 1 ann web 5 10`, `${DAY} 2 - web 5 10`);
    const other = 'elsewhere.orders';
    const about = () => [
      failingTest('not_null', model, 'customer', {
        sources: [`${PROJECT}.${other}`, `${PROJECT}.${source}`],
        modelSql: `select * from \`${PROJECT}\`.\`shop\`.\`${source.split('.')[1]}\` where day = '${DAY}'`,
      }),
    ];
    const healed = (await shop.advise(about()))!;
    expect(healed.rehearsal).toMatchObject({ allowed: true, rows: 1, testPasses: true });
    expect(new Set(healed.rehearsal.statements.map(({ table }) => table))).toEqual(
      new Set([`${PROJECT}.${source}`, `${PROJECT}.${source}_quarantine`]),
    );
    await shop.query(`insert into \`${source}\` (day, id) values (date '${DAY}', '3')`);
    expect(await shop.advise(about())).toBeNull();
    expect(shop.log.at(-1)!.msg).toMatch(/has 2 rows that offend .*, shop.orders_\d+ has 1/);
  });

  test('several failing tests make one fix, or none when one of them is past help', async () => {
    const table = await orders(`${DAY} 1 - fax 5 10`, `${DAY} 1 ann web 5 10`, `${DAY} 1 ann web 5 12`);
    const about = [
      failingTest('not_null', table, 'customer'),
      failingTest('accepted_values', table, 'channel', { arguments: { values: ['web', 'store'] } }),
      failingTest('unique', table, 'id'),
    ];
    const { sql, rehearsal, remedyClass } = (await shop.advise(about))!;
    expect({ ...rehearsal, remedyClass }).toMatchObject({
      allowed: true,
      rows: 2,
      testPasses: true,
      remedyClass: 'person',
    });
    await shop.query(sql);
    expect(await linesOf(table)).toEqual([`${DAY} 1 ann web 5 12`]);
    expect(await shop.advise([...about, failingTest('is_even', table, 'id')])).toBeNull();
    expect(await shop.advise(about, { failure: { tests: ['unique_x', 'of_which_nothing_is_known'] } })).toBeNull();
  });
});

test('a pipeline without fixes has no proposals', async () => {
  const table = await orders(`${DAY} 1 - web 5 10`);
  expect(await shop.advise([failingTest('not_null', table, 'customer')], { pipeline: 'unfixable' })).toBeNull();
  expect(shop.log.at(-1)!.msg).toMatch(/^no advice: unfixable allows no SQL fixes/);
});

test('a proposal is small, however large its rows', async () => {
  await shop.query(`create table shop.large as
    select date '${DAY}' as day, cast(null as string) as id, repeat(cast(n as string), 20000) as text from unnest([1, 2, 3, 4, 5, 6, 7, 8]) as n`);
  const proposal = (await shop.advise([failingTest('not_null', 'shop.large', 'id')]))!;
  expect(proposal.rehearsal).toMatchObject({ allowed: true, rows: 8 });
  expect(proposal.rehearsal.sample.length).toBeGreaterThan(0);
  expect(JSON.stringify(proposal).length).toBeLessThanOrEqual(65_536);
});

describe('what healed the same failure before', () => {
  test('is suggested again, to the byte, unless the rules of the day refuse it', async () => {
    const table = await orders(`${DAY} 1 - web 5 10`);
    const sql = `delete from \`${table}\` where day = @partition and customer is null`;
    const decision = {
      action: 'fix' as const,
      failure: 'run-0',
      fingerprint: 'f00df00df00d',
      step: 'build',
      note: 'tell ann@example.com',
      decidedBy: 'ann',
      decidedAt: '2025-07-15T08:00:00.000Z',
      way: 'person' as const,
      sql,
      sha256: sha256Hex(sql),
      file: null,
      afterwards: 'retry' as const,
    };
    const row = (partition: string, status: 'fixed' | 'failed', ...decisions: (typeof decision)[]) => ({
      pipeline: 'shop',
      partition,
      partitionStart: partition,
      partitionEnd: partition,
      status,
      workflowId: `shop/${partition}`,
      runId: `run-${partition}`,
      sequence: 1,
      startedAt: `${partition}T06:00:00.000Z`,
      recordedAt: `${partition}T09:00:00.000Z`,
      sourceAsOf: `${partition}T05:00:00.000Z`,
      reason: null,
      steps: [],
      decisions,
    });
    const later = { ...decision, decidedAt: '2025-07-16T08:00:00.000Z', sql: 'delete from x' };
    await shop.ledger.append(
      row(
        '2025-07-14',
        'fixed',
        { ...decision, decidedAt: '2025-07-14T08:00:00.000Z', sql: 'delete from y' },
        decision,
      ),
      row('2025-07-15', 'failed', later),
      row('2025-07-16', 'fixed', { ...later, fingerprint: '000000000000' }),
    );
    const about = [failingTest('not_null', table, 'customer')];
    expect(await shop.advise(about)).toMatchObject({
      sql,
      sha256: sha256Hex(sql),
      remedyClass: 'past_decision',
      explanation: 'This SQL healed the same failure of 2025-07-14, as decided by ann on 2025-07-15 ("tell <email>").',
      rehearsal: { rows: 1, testPasses: true },
    });
    await shop.query(`drop table \`${table}\``);
    expect(await shop.advise(about)).toBeNull();
    const another = await orders(`${DAY} 1 - web 5 10`);
    const instead = await shop.advise([failingTest('not_null', another, 'customer')]);
    expect(instead).toMatchObject({ remedyClass: 'not_null' });
  });
});

describe('what someone proposes', () => {
  test('is rehearsed and names them; what the guard refuses is refused', async () => {
    const table = await orders(`${DAY} 1 - web 5 10`, `${NEXT_DAY} 1 - web 5 10`);
    const about = [failingTest('not_null', table, 'customer')];
    const sql = `delete from \`${table}\` where day = @partition and customer is null`;
    const proposal = { failure: 'run-1', sql, by: 'bob', viaMcp: true, explanation: 'as ann@example.com said' };
    expect(await shop.rehearseProposal(about, proposal)).toMatchObject({
      ...{ sql, sha256: sha256Hex(sql), proposedBy: 'bob', viaMcp: true, remedyClass: 'person' },
      explanation: 'as <email> said',
      rehearsal: { allowed: true, rows: 1 },
    });
    const all = { ...proposal, sql: `delete from \`${table}\` where true` };
    await expect(shop.rehearseProposal(about, all)).rejects.toMatchObject({ type: 'BadInput', nonRetryable: true });
  });
});
