import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { days, EcomGenerator, type IdState, sha256 } from '../support/ecom-generator.js';

const TABLES = ['carts', 'cart_items', 'orders', 'order_items', 'returns', 'return_items'];
const FIRST: [string, string] = ['2020-01-01', '2020-01-04'];
const SECOND: [string, string] = ['2020-01-05', '2020-01-08'];
const PART = 'part-0000.parquet';

let directory: string;
/** Two chunks, as they should be. */
let shop: EcomGenerator;
let states: IdState[];

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-ecom-'));
  shop = new EcomGenerator(path.join(directory, 'shop'));
  await shop.succeed(['lookups']);
  states = (await shop.chunks([FIRST, SECOND])).map(({ idState }) => idState);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('the same bytes', () => {
  test('whatever the hash seed, locale, time zone and number of threads, also where these matter', async () => {
    const settings = { 'volumes.carts_per_day': '30000' };
    const one = shop.beside('one', settings);
    const other = shop.beside('other', settings);
    async function chunk(generator: EcomGenerator, threads: string, env: Record<string, string>): Promise<void> {
      await generator.succeed(['generate', ...days(FIRST), '--threads', threads], env);
      await generator.succeed(['export', ...days(FIRST), '--threads', threads], env);
    }
    await Promise.all([
      chunk(one, '1', { PYTHONHASHSEED: '1', TZ: 'Asia/Kolkata', LC_ALL: 'C' }),
      chunk(other, '4', { PYTHONHASHSEED: '2', TZ: 'America/Lima' }),
    ]);
    expect(other.csvChecksums()).toEqual(one.csvChecksums());
    expect(other.checksums()).toEqual(one.checksums());
    expect(Object.keys(one.checksums()).length).toBe(40 + 5 + 6 * 4 + 1);
  });

  test('when a chunk is run again with the state it had, in place of what was there', async () => {
    const again = shop.beside('again', {}, true);
    const before = again.checksums();
    rmSync(path.join(again.raw, 'orders/ingest_dt=2020-01-06', PART));
    const outcome = await again.generate(SECOND, states[0]!);
    expect(outcome.idState).toEqual(states[1]);
    await again.succeed(['export', ...days(SECOND)]);
    expect(again.checksums()).toEqual(before);
    expect((await again.verify()).report.problems).toEqual([]);
    const leftovers = readdirSync(again.raw, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /(^|\/)\./.test(name),
    );
    expect(leftovers).toEqual([]);
  });

  test('of every day and table, however the days are cut into chunks', async () => {
    const uncut = shop.beside('uncut');
    const [outcome] = await uncut.chunks([[FIRST[0], SECOND[1]]]);
    expect(outcome!.idState).toEqual(states[1]);
    const days = readdirSync(path.join(shop.raw, 'orders'));
    expect(days).toHaveLength(8);
    for (const table of TABLES)
      for (const day of days)
        expect(sha256(path.join(uncut.raw, table, day, PART))).toBe(sha256(path.join(shop.raw, table, day, PART)));
  });

  test('another seed gives others', async () => {
    const seeded = new EcomGenerator(path.join(directory, 'seeded'), { seed: 'another' });
    await seeded.succeed(['lookups']);
    await seeded.generate(FIRST, null);
    for (const [file, checksum] of Object.entries(seeded.csvChecksums()))
      expect(shop.csvChecksums()[file]).not.toBe(checksum);
  });
});

describe('ids', () => {
  test('go on where the chunk before ended, and none is left out', async () => {
    expect(states[0]).toMatchObject({ through: '2020-01-04', settings_since: '2020-01-01' });
    for (const [table, id] of [
      ['carts', 'cart_id'],
      ['orders', 'order_id'],
      ['returns', 'return_id'],
    ] as const) {
      const counter = `last_${id}` as const;
      const [found] = await shop.query<{ least: number; greatest: number; ids: number; lost: number }>(
        `select min(${id}) as least, max(${id}) as greatest, count(distinct ${id}) as ids,
           (select count(*) from '{raw}/rejects/*/*.parquet' where table_name = '${table}' and reason <> 'duplicate') as lost
         from '{raw}/${table}/*/*.parquet'`,
      );
      expect(found!.ids + found!.lost).toBe(states[1]![counter]);
      expect(found!.greatest).toBeLessThanOrEqual(states[1]![counter]);
      const [first] = await shop.query<{ last: number; next: number }>(
        `select max(${id}) filter (ingest_dt <= '2020-01-04') as last, min(${id}) filter (ingest_dt > '2020-01-04') as next
         from read_parquet('{raw}/${table}/*/*.parquet', hive_partitioning = true, hive_types_autocast = false)`,
      );
      expect(first!.last).toBeLessThanOrEqual(states[0]![counter]);
      expect(first!.next).toBeGreaterThan(states[0]![counter]);
    }
    // What was bought in the first chunk comes back in the second.
    const [back] = await shop.query<{ earlier: number }>(
      `select count(*) as earlier from '{raw}/returns/*/*.parquet' where return_date >= '2020-01-05' and order_id <= ${states[0]!.last_order_id}`,
    );
    expect(back!.earlier).toBeGreaterThan(0);
  });

  test.each([
    ['a later chunk without a state', SECOND, () => '', 'needs the id state of the chunk before it'],
    [
      'days that have their ids',
      SECOND,
      () => JSON.stringify(states[1]),
      'overlaps with what already has its ids, through 2020-01-08',
    ],
    ['a gap', ['2020-01-07', '2020-01-08'], () => JSON.stringify(states[0]), 'leaves a gap after 2020-01-04'],
    ['no state', SECOND, () => '{"last_cart_id": -1}', '--id-state is no id state: last_cart_id'],
    ['days outside of the range', ['2019-12-31', '2020-01-01'], () => '', 'is not within 2020-01-01 to 2026-01-08'],
    ['days the wrong way round', ['2020-01-08', '2020-01-05'], () => '', 'lies before the first day'],
  ] as [string, [string, string], () => string, string][])('%s is refused', async (_, chunk, state, sentence) => {
    const outcome = await shop.run(['generate', ...days(chunk), `--id-state=${state()}`]);
    expect(outcome).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(sentence) });
    expect(outcome.stderr.split('\n')).toHaveLength(1);
  });

  test('the state file is written, never read', async () => {
    const filed = shop.beside('filed');
    const file = path.join(filed.root, '.id_state.json');
    writeFileSync(file, '{"last_cart_id": 7000}');
    const outcome = await filed.succeed(['generate', ...days(FIRST), '--id-state=', `--id-state-file=${file}`]);
    expect(outcome.idState).toEqual(states[0]);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(states[0]);
  });

  test('a change of the volume between chunks leaves orders before it alone', async () => {
    const grown = shop.beside('grown', { 'volumes.carts_per_day': '90' }, true);
    const outcome = await grown.generate(SECOND, states[0]!);
    expect(outcome.idState.settings_since).toBe('2020-01-05');
    await grown.succeed(['export', ...days(SECOND)]);
    expect((await grown.verify()).report.problems).toEqual([]);
  });
});

describe('messiness', () => {
  test.each(['none', 'light', 'medium_mess', 'heavy_mess'])(
    '%s: what was done is counted, and found again',
    async (level) => {
      const messy = shop.beside(`messy-${level}`, { messiness_level: level, 'volumes.carts_per_day': '3000' });
      const made = (await messy.generate(FIRST, null)).counts;
      const { counts } = await messy.succeed(['export', ...days(FIRST)]);
      const did = (kind: string) => TABLES.reduce((sum, table) => sum + (made[`${table}_${kind}`] ?? 0), 0);
      for (const table of TABLES) {
        const lines = readFileSync(messy.csv(FIRST, table), 'utf8').split('\n').length - 2;
        expect(counts[`${table}_rows_in`]).toBe(lines);
        expect(made[`${table}_rows`]).toBe(lines);
        expect(counts[`${table}_rows_out`]! + counts[`${table}_rejects`]!).toBe(lines);
      }
      expect(counts).toMatchObject({
        rejects_duplicate: did('doubled'),
        rejects_unreadable: did('unreadable'),
        rejects_malformed: did('broken_line'),
        rejects_outside_chunk: did('wrong_day'),
      });
      // With the items of carts and orders that were lost themselves.
      expect(counts.rejects_orphan).toBeGreaterThanOrEqual(did('orphan'));
      const kinds = new Set(Object.keys(made).map((name) => name.replace(new RegExp(`^(${TABLES.join('|')})_`), '')));
      const cleaned = ['padded', 'quoted', 'other_case', 'other_timestamp', 'other_amount', 'left_out'];
      const lost = ['orphan', 'unreadable', 'broken_line', 'wrong_day'];
      const expected = {
        none: [],
        light: [...cleaned, 'doubled'],
        medium_mess: [...cleaned, 'doubled', ...lost],
        heavy_mess: [...cleaned, 'doubled', ...lost],
      };
      expect([...kinds].sort()).toEqual(['rows', ...expected[level as keyof typeof expected]].sort());
      const { report } = await messy.verify();
      expect(report.problems).toEqual([]);
    },
  );

  test('what somebody else did to the files is told line by line', async () => {
    const spoiled = shop.beside('spoiled', { messiness_level: 'none' });
    await spoiled.generate(FIRST, null);
    const items = spoiled.csv(FIRST, 'order_items');
    const [header, ...lines] = readFileSync(items, 'utf8').trimEnd().split('\n');
    const [first, second, third] = lines;
    const added = [
      '',
      '"',
      'a,b',
      `${first}\r`,
      '999999,1,1,1,1.00,0.00',
      '1,77,999,1,1.00,0.00',
      '1,78,1,1.5,1.00,',
      '1,79,1,1,"$1,000.50",',
    ];
    writeFileSync(items, `${[header, first, `\uFEFF${second}`, third, ...lines.slice(3), ...added].join('\r\n')}`);
    appendFileSync(items, Buffer.from([0x0a, 0x31, 0xff, 0x2c]));
    const outcome = await spoiled.succeed(['export', ...days(FIRST)]);
    expect(outcome.counts).toMatchObject({
      order_items_rows_in: lines.length + 9,
      order_items_rejects: 9,
      order_items_rows_out: lines.length,
    });
    const at = lines.length + 1;
    const rejects = await spoiled.query<Record<string, unknown>>(
      `select line_number, reason, column_name, line from '{raw}/rejects/*/*.parquet' order by line_number`,
    );
    expect(rejects).toEqual([
      { line_number: 3, reason: 'unreadable', column_name: 'order_id', line: `\uFEFF${second}` },
      { line_number: at + 1, reason: 'malformed', column_name: null, line: '' },
      { line_number: at + 2, reason: 'malformed', column_name: null, line: '"' },
      { line_number: at + 3, reason: 'malformed', column_name: null, line: 'a,b' },
      { line_number: at + 4, reason: 'duplicate', column_name: null, line: `${first}\r` },
      { line_number: at + 5, reason: 'orphan', column_name: 'order_id', line: '999999,1,1,1,1.00,0.00' },
      { line_number: at + 6, reason: 'orphan', column_name: 'product_id', line: '1,77,999,1,1.00,0.00' },
      { line_number: at + 7, reason: 'unreadable', column_name: 'quantity', line: '1,78,1,1.5,1.00,' },
      { line_number: at + 9, reason: 'malformed', column_name: null, line: '1\\xff,' },
    ]);
    const [kept] = await spoiled.query<{ unit_price: string }>(
      `select unit_price::varchar as unit_price from '{raw}/order_items/*/*.parquet' where order_id = 1 and line_number = 79`,
    );
    expect(kept).toEqual({ unit_price: '1000.50' });
  });

  test('a file of other columns, or none, is refused and leaves nothing behind', async () => {
    const broken = shop.beside('broken');
    await broken.generate(FIRST, null);
    writeFileSync(broken.csv(FIRST, 'returns'), 'return_id,order\n');
    const columns = await broken.run(['export', ...days(FIRST)]);
    expect(columns).toMatchObject({ code: 1, stderr: expect.stringContaining('The first line of') });
    rmSync(broken.csv(FIRST, 'returns'));
    expect((await broken.run(['export', ...days(FIRST)])).stderr).toContain('There is no');
    expect(readdirSync(broken.raw)).toEqual([]);
  });
});

describe('manifests', () => {
  test('say what the partition holds', () => {
    const partition = 'orders/ingest_dt=2020-01-02';
    const file = path.join(shop.raw, partition, PART);
    const content = readFileSync(file);
    const manifest = shop.manifest(partition);
    expect(manifest).toMatchObject({
      table: 'orders',
      partition,
      chunk: '2020-01-01..2020-01-04',
      bytes: content.length,
      key: 'order_id',
      generator_version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      source_run: expect.stringMatching(/^[0-9a-f]{16}$/),
      created: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T[\d:]{8}\+00:00$/),
      files: [
        {
          name: PART,
          rows: manifest.rows,
          bytes: content.length,
          sha256: sha256(file),
          md5: createHash('md5').update(content).digest('base64'),
          crc32c: expect.stringMatching(/^[A-Za-z0-9+/]{6}==$/),
        },
      ],
    });
    expect(manifest.rows).toBeGreaterThan(5);
    expect(manifest.min_key!).toBeLessThan(manifest.max_key!);
    expect(manifest.schema.slice(0, 4)).toEqual([
      { name: 'order_id', type: 'int64' },
      { name: 'cart_id', type: 'int64' },
      { name: 'customer_id', type: 'int64' },
      { name: 'order_date', type: 'timestamp[us]' },
    ]);
    expect(shop.manifest('orders/ingest_dt=2020-01-06').schema_hash).toBe(manifest.schema_hash);
  });

  test('there is one for each day, sign-up date and category, the latter with the first chunk alone', () => {
    for (const table of TABLES) expect(readdirSync(path.join(shop.raw, table))).toHaveLength(8);
    expect(readdirSync(path.join(shop.raw, 'customers'))).toHaveLength(40);
    expect(readdirSync(path.join(shop.raw, 'product_catalog')).sort()).toEqual(
      ['Books', 'Clothing', 'Electronics', 'Home', 'Toys'].map((category) => `category=${category}`),
    );
    const listing = (chunk: string) =>
      JSON.parse(readFileSync(path.join(shop.raw, '_chunks', `${chunk}.json`), 'utf8'));
    expect(listing('2020-01-01..2020-01-04').manifests).toHaveLength(24 + 45 + 1);
    expect(listing('2020-01-05..2020-01-08').manifests).toHaveLength(24 + 1);
    expect(listing('2020-01-05..2020-01-08').manifests).toContain(
      'rejects/chunk=2020-01-05..2020-01-08/_MANIFEST.json',
    );
  });
});

describe('what cannot be done is refused in a sentence', () => {
  const config = (text: string) => {
    const file = path.join(directory, 'config.yaml');
    writeFileSync(file, text);
    return [`--config=${file}`];
  };
  test.each([
    [
      'an unknown setting',
      () => config('volumes: {carts_a_day: 5}'),
      'there is no setting volumes.carts_a_day; known are carts_per_day',
    ],
    [
      'a wrong value',
      () => config('messiness_level: messy'),
      "messiness_level: input should be 'none', 'light', 'medium_mess' or 'heavy_mess'; it says 'messy'.",
    ],
    ['a wrong type', () => config('start_date: soon'), 'start_date: input should be a valid date'],
    [
      'a range the wrong way round',
      () => config('end_date: 2019-12-31'),
      'end_date 2019-12-31 lies before start_date 2020-01-01',
    ],
    ['no YAML', () => config('a: ['), 'is no YAML file that can be read'],
    ['no file', () => ['--config=nowhere.yaml'], 'There is no configuration file nowhere.yaml'],
    ['a setting inside of none', () => ['--set=seed.inner=1'], 'seed.inner cannot be set: seed holds no settings'],
    ['a disk without room', () => ['--set=min_free_disk=9000000000000000000'], 'but only'],
    [
      'other lookups than those that are there',
      () => ['--set=lookups.num_customers=201'],
      'were made with another seed or other `lookups` settings',
    ],
  ] as [string, () => string[], string][])('%s', async (_, flags, sentence) => {
    const outcome = await shop.run(['generate', ...days(FIRST), ...flags()]);
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toContain(sentence);
  });

  test('a chunk before the lookups, an export before the chunk, a verification of nothing', async () => {
    const empty = new EcomGenerator(path.join(directory, 'empty'));
    expect((await empty.run(['generate', ...days(FIRST)])).stderr).toContain('There are no lookups in');
    expect((await empty.run(['export', ...days(FIRST)])).stderr).toContain('generate the chunk first');
    await expect(empty.verify()).rejects.toThrow('laid out like the bucket');
    expect((await empty.run(['generate', '--from', '1 January', '--to', '2020-01-04'])).code).toBe(2);
  });
});

test('clean removes a chunk that was exported, keeps what is to be kept, and may run again', async () => {
  const tidy = shop.beside('tidy', {}, true);
  const checkpoint = path.join(tidy.root, '.backlog_checkpoint');
  const kept = await tidy.succeed(['clean', ...days(FIRST), '--keep-local=true', `--checkpoint-file=${checkpoint}`]);
  expect(kept.counts).toEqual({ csv_files: 0, partitions: 0 });
  expect(readFileSync(checkpoint, 'utf8')).toBe('2020-01-04\n');
  expect(tidy.checksums()).toEqual(shop.checksums());

  expect((await tidy.succeed(['clean', ...days(FIRST)])).counts).toEqual({ csv_files: 6, partitions: 24 + 45 + 1 });
  expect((await tidy.succeed(['clean', ...days(FIRST)])).counts).toEqual({ csv_files: 0, partitions: 0 });
  expect(existsSync(tidy.csv(FIRST, 'carts'))).toBe(false);
  expect(readdirSync(path.join(tidy.raw, 'orders'))).toHaveLength(4);

  rmSync(path.join(tidy.raw, '_chunks/2020-01-05..2020-01-08.json'));
  const refused = await tidy.run(['clean', ...days(SECOND)]);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('was not exported; nothing was removed') });
  expect(existsSync(tidy.csv(SECOND, 'carts'))).toBe(true);
});
