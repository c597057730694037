import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { days, EcomGenerator, type IdState, idStateFlag } from '../support/ecom-generator.js';

const FIRST: [string, string] = ['2020-01-01', '2020-01-04'];
const SECOND: [string, string] = ['2020-01-05', '2020-01-08'];
const PART = 'part-0000.parquet';
const MANIFEST = '_MANIFEST.json';

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

describe('a chunk that is killed again and again', () => {
  const CHUNKS = Array.from({ length: 5 }, (_, index): [string, string] => [
    `2020-01-${String(index * 3 + 1).padStart(2, '0')}`,
    `2020-01-${String(index * 3 + 3).padStart(2, '0')}`,
  ]);

  test('comes to the same as one that is not', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed of the kills: ${seed}`);
    const random = randomFrom(seed);
    const straight = shop.beside('straight');
    const began = performance.now();
    await straight.chunks(CHUNKS);
    const usual = (performance.now() - began) / (2 * CHUNKS.length);

    const killed = shop.beside('killed');
    let kills = 0;
    let state: IdState | null = null;
    for (const chunk of CHUNKS) {
      const commands = [
        ['generate', ...days(chunk), idStateFlag(state)],
        ['export', ...days(chunk)],
      ];
      for (const [index, command] of commands.entries()) {
        for (let left = 1 + Math.floor(random() * 2); left > 0; left--) {
          const running = killed.start(command);
          const timer = setTimeout(() => running.kill('SIGKILL'), usual * (0.3 + 0.7 * random()));
          if ((await running).signal === 'SIGKILL') kills++;
          clearTimeout(timer);
        }
        const outcome = await killed.succeed(command);
        if (index === 0) state = outcome.idState;
      }
    }
    expect(kills).toBeGreaterThanOrEqual(5);
    expect(killed.checksums()).toEqual(straight.checksums());
    expect(killed.csvChecksums()).toEqual(straight.csvChecksums());
    expect((await killed.verify('--from', '2020-01-01', '--to', '2020-01-15')).report.problems).toEqual([]);
  });
});

describe('verify', () => {
  test('finds nothing wrong with what is whole, and says how much there is', async () => {
    const { code, report } = await shop.verify();
    expect(report.problems).toEqual([]);
    expect(code).toBe(0);
    expect(report).toMatchObject({
      ok: true,
      first: '2020-01-01',
      last: '2020-01-08',
      chunks: 2,
      chunksToRunAgain: [],
    });
    const tables = Object.fromEntries(report.tables.map(({ table, ...figures }) => [table, figures]));
    expect(tables.customers).toMatchObject({ partitions: 40, expectedPartitions: 40, rows: 200 });
    expect(tables.product_catalog).toMatchObject({ partitions: 5, expectedPartitions: 5, rows: 50 });
    expect(tables.return_items).toMatchObject({ partitions: 8, expectedPartitions: 8 });
    const files = readdirSync(shop.raw, { recursive: true, encoding: 'utf8' })
      .map((name) => path.join(shop.raw, name))
      .filter((name) => /\/(part-0000\.parquet|_MANIFEST\.json)$/.test(name));
    expect(report.objects).toBe(files.length);
    expect(report.footprintBytes).toBe(files.reduce((sum, file) => sum + statSync(file).size, 0));
  });

  /** Each fault befalls a partition of its own, and says so. */
  const FAULTS: Record<string, { damage: (folder: string) => void; problem: object }> = {
    'carts/ingest_dt=2020-01-05': {
      damage: (folder) => {
        const content = readFileSync(path.join(folder, PART));
        content[100]! ^= 1;
        writeFileSync(path.join(folder, PART), content);
      },
      problem: {
        check: 'files',
        file: PART,
        message: "the file's sha256 and md5 and crc32c are not what the manifest says",
      },
    },
    'carts/ingest_dt=2020-01-06': {
      damage: (folder) => truncateSync(path.join(folder, PART), 400),
      problem: { check: 'files', file: PART, message: expect.stringContaining('the file has 400 bytes instead of') },
    },
    'carts/ingest_dt=2020-01-07': {
      damage: (folder) => rmSync(path.join(folder, PART)),
      problem: { check: 'files', file: PART, message: 'the file is missing' },
    },
    'orders/ingest_dt=2020-01-05': {
      damage: (folder) => rmSync(path.join(folder, MANIFEST)),
      problem: { check: 'manifests', file: MANIFEST, message: 'there is no manifest' },
    },
    'orders/ingest_dt=2020-01-06': {
      damage: (folder) => truncateSync(path.join(folder, MANIFEST), 50),
      problem: { check: 'manifests', file: MANIFEST, message: 'the manifest cannot be read' },
    },
    'orders/ingest_dt=2020-01-07': {
      damage: (folder) => {
        const file = path.join(folder, MANIFEST);
        writeFileSync(file, readFileSync(file, 'utf8').replace(/"rows": \d+/, '"rows": 3'));
      },
      problem: { check: 'manifests', file: MANIFEST, message: expect.stringContaining('was changed') },
    },
    'returns/ingest_dt=2020-01-05': {
      damage: (folder) => rmSync(folder, { recursive: true }),
      problem: { check: 'partitions', message: 'the partition is missing' },
    },
    'returns/ingest_dt=2020-01-06': {
      damage: (folder) => copyFileSync(path.join(folder, PART), path.join(folder, 'part-0001.parquet')),
      problem: { check: 'files', file: 'part-0001.parquet', message: 'no manifest knows this file' },
    },
  };
  test('finds each fault in its place, and the chunk that was hit heals by itself', async () => {
    const damaged = shop.beside('damaged', {}, true);
    for (const [partition, { damage }] of Object.entries(FAULTS)) damage(path.join(damaged.raw, partition));
    const { code, report } = await damaged.verify();
    expect(code).toBe(1);
    expect(report.ok).toBe(false);
    for (const [partition, { problem }] of Object.entries(FAULTS))
      expect(report.problems).toContainEqual(
        expect.objectContaining({ ...problem, partition, chunk: SECOND.join('..') }),
      );
    expect(report.chunksToRunAgain).toEqual([SECOND.join('..')]);

    rmSync(path.join(damaged.raw, 'rejects', `chunk=${SECOND.join('..')}`), { recursive: true });
    const without = (await damaged.verify('--from', FIRST[0], '--to', SECOND[1])).report;
    expect(without.problems).toContainEqual(
      expect.objectContaining({
        check: 'chunks',
        message: `${SECOND.join('..')} has partitions, but no rejects with its account`,
      }),
    );
    expect(without.chunksToRunAgain).toEqual([SECOND.join('..')]);

    await damaged.succeed(['export', ...days(SECOND)]);
    expect((await damaged.verify('--from', FIRST[0], '--to', SECOND[1])).report.problems).toEqual([]);
    expect(damaged.checksums()).toEqual(shop.checksums());
  });

  test('chunks that are missing, sign-up dates that are gone, and chunks that overlap', async () => {
    const { report } = await shop.verify('--from', '2020-01-01', '--to', '2020-01-10');
    expect(report.problems).toContainEqual(
      expect.objectContaining({ check: 'chunks', message: '2020-01-09 to 2020-01-10 are in no chunk' }),
    );

    const damaged = shop.beside('damaged-dimension', {}, true);
    rmSync(path.join(damaged.raw, 'customers/signup_date=2020-01-20'), { recursive: true });
    expect((await damaged.verify()).report).toMatchObject({
      problems: expect.arrayContaining([
        expect.objectContaining({ check: 'partitions', message: 'customers has 39 partitions instead of 40' }),
      ]),
      chunksToRunAgain: expect.arrayContaining(['2020-01-01..2020-01-04']),
    });

    const overlapping = shop.beside('overlapping', {}, true);
    const between: IdState = { ...states[0]!, through: '2020-01-03' };
    await overlapping.generate(['2020-01-04', '2020-01-05'], between);
    await overlapping.succeed(['export', '--from', '2020-01-04', '--to', '2020-01-05']);
    const checks = (await overlapping.verify()).report.problems.map(({ check }) => check);
    expect(checks).toEqual(expect.arrayContaining(['chunks', 'rows', 'ids']));
  });

  test('children beside other parents', async () => {
    const mixed = shop.beside('mixed', {}, true);
    const other = shop.beside('mixed-other', { seed: 'shop', messiness_level: 'none' });
    rmSync(other.artifacts, { recursive: true });
    await other.succeed(['lookups']);
    await other.chunks([FIRST]);
    for (const table of ['orders', 'carts']) {
      rmSync(path.join(mixed.raw, table, 'ingest_dt=2020-01-02'), { recursive: true });
      cpSync(path.join(other.raw, table, 'ingest_dt=2020-01-02'), path.join(mixed.raw, table, 'ingest_dt=2020-01-02'), {
        recursive: true,
      });
    }
    const { report } = await mixed.verify();
    expect(report.problems).toContainEqual(
      expect.objectContaining({
        check: 'parents',
        partition: 'order_items/ingest_dt=2020-01-02',
        message: expect.stringContaining('no parent'),
      }),
    );
  });
});

/** Numbers from 0 up to 1 that follow from the seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
