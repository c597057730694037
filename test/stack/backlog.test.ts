import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Bucket, Storage } from '@google-cloud/storage';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from '@temporalio/client';
import { parse, stringify } from 'yaml';
import { connectClient } from '../../src/client/connection.js';
import { partitionId, variantName } from '../../src/contracts/ids.js';
import type { LedgerRow } from '../../src/contracts/ledger.js';
import { startTimeOf } from '../../src/runners/processes.js';
import { CommandLine, writePipeline } from '../support/command-line.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import { until } from './fixtures/processes.js';

const PATIENCE_MS = 240_000;
const CHUNKS = ['2020-01-01..2020-01-03', '2020-01-04..2020-01-06', '2020-01-07..2020-01-08'] as const;
const ALL = ['--from', '2020-01-01', '--to', '2020-01-08'];
const STEPS = ['lookups', 'generate', 'export', 'upload', 'hook', 'checkpoint', 'clean-up'];
/** A thousandth of the volume, for some days. */
const SMALL = {
  chunk_size: 3,
  end_date: '2020-01-08',
  scale: 0.001,
  num_customers: 60,
  num_products: 25,
  min_free_disk: 0,
};
/** Notes the manifests it is given; fails while there is a file `fails` beside it. */
const HOOK =
  '#!/bin/sh\nif [ -e "$(dirname "$0")/fails" ]; then echo "the catalogue is down"; exit 9; fi\ncat "$1" >> "$(dirname "$0")/told"\n';

let folder: string;
let stack: TestStack;
let cli: CommandLine;
let client: Client;
let bucket: Bucket;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'dayfill-backlog-'));
  cpSync('pipelines/backlog', path.join(folder, 'pipelines/backlog'), { recursive: true });
  writeFileSync(path.join(folder, 'hook'), HOOK);
  chmodSync(path.join(folder, 'hook'), 0o755);
  changePipeline(SMALL);
  writePipeline(path.join(folder, 'pipelines'), 'chain', CHAIN);
  stack = await startTestStack({ env: { DAYFILL_PIPELINES: path.join(folder, 'pipelines') } });
  cli = new CommandLine(stack.env);
  ({ client } = await connectClient(stack.config()));
  bucket = new Storage({ projectId: 'test', apiEndpoint: stack.config().storageEndpoint! }).bucket(
    'gcs-automation-project-raw',
  );
});
afterAll(async () => {
  await client?.connection.close();
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Each partition adds one to what the one before handed on. */
const CHAIN = `
pipeline: chain
partition: { every: 1d, start: 2025-07-01 }
steps:
  - id: count
    uses: command
    with: { run: [node, -e, 'require("fs").writeFileSync(process.env.DAYFILL_RESULT, JSON.stringify({ state: { n: Number(process.argv[1]) + 1 } }))', "\${previous.state.n}"] }
  - { id: after, uses: command, with: { run: ["true"] } }
`;

/** The shipped pipeline with other defaults, and its files in the folder of the test. */
function changePipeline(defaults: Record<string, unknown>): void {
  const file = parse(readFileSync('pipelines/backlog/pipeline.yaml', 'utf8'));
  const all: Record<string, unknown> = {
    artifact_root: path.join(folder, 'artifacts'),
    target_root: path.join(folder, 'output'),
    post_export_hook: path.join(folder, 'hook'),
    ...defaults,
  };
  for (const [name, value] of Object.entries(all)) {
    if (typeof file.vars[name] === 'object') file.vars[name].default = value;
    else file.vars[name] = value;
  }
  for (const work of [...file.steps.map((step: { with: object }) => step.with), file.verify])
    work.cwd = path.resolve('warehouse');
  for (const name of ['id_state_file', 'checkpoint_file']) {
    file.vars[name] = path.join(folder, file.vars[name].default);
    delete file.smoke.vars[name];
  }
  Object.assign(file.smoke.vars, { num_customers: 20, chunk_size: 1, end_date: '2020-01-03' });
  writeFileSync(
    path.join(folder, 'pipelines/backlog/pipeline.yaml'),
    stringify(file, { aliasDuplicateObjects: false }),
  );
}

/** What each object under a prefix holds: its checksum, and of a manifest what it says besides when it was made. */
async function contents(prefix: string): Promise<Record<string, string>> {
  const [files] = await bucket.getFiles({ prefix: `${prefix}/` });
  const entries = files.map(async (file) => {
    const name = file.name.slice(prefix.length + 1);
    if (!name.endsWith('_MANIFEST.json')) return [name, file.metadata.md5Hash!];
    const { created: _, ...said } = JSON.parse(String((await file.download())[0]));
    return [name, JSON.stringify(said)];
  });
  return Object.fromEntries(await Promise.all(entries));
}

const onDisk = (name: string) => path.join(stack.stateDir, 'storage', bucket.name, 'ecom/raw', name);
const verify = (...args: string[]) => cli.run(['verify', 'backlog', ...args]);
const ledger = async (pipeline: string): Promise<LedgerRow[]> =>
  (await cli.json<{ rows: LedgerRow[] }>(['ledger', pipeline])).rows;
const idle = (pipeline: string) =>
  until(
    `${pipeline} to be idle`,
    async () => (await cli.json<{ state: string }>(['status', pipeline])).state === 'idle',
    PATIENCE_MS,
  );

describe('the backlog', () => {
  test(
    'fills chunk after chunk; a hook that fails makes its chunk wait with its files',
    async () => {
      writeFileSync(path.join(folder, 'fails'), '');
      const first = await cli.run(['run', 'backlog', ...ALL]);
      expect(first).toMatchObject({ code: 3, stdout: expect.stringContaining('the catalogue is down') });
      const [chunk] = CHUNKS;
      expect(existsSync(path.join(folder, 'artifacts/backlog', chunk, 'orders.csv'))).toBe(true);
      expect(
        existsSync(path.join(folder, 'output/backlog', chunk, 'orders/ingest_dt=2020-01-01/part-0000.parquet')),
      ).toBe(true);

      rmSync(path.join(folder, 'fails'));
      expect((await cli.run(['resolve', 'backlog', chunk, 'retry'])).code).toBe(0);
      await idle('backlog');
      const rows = (await ledger('backlog')).filter(({ status }) => status !== 'waiting');
      expect(rows.map(({ partition, status }) => [partition, status])).toEqual(
        CHUNKS.map((key, index) => [key, index === 0 ? 'fixed' : 'succeeded']),
      );
    },
    PATIENCE_MS,
  );

  test('hands the ids on, keeps them in the ledger, and writes them down for people', async () => {
    const rows = (await ledger('backlog')).filter(({ status }) => status !== 'waiting');
    const states = rows.map(
      ({ steps }) => steps.find(({ id }) => id === 'generate')!.state as { id_state: Record<string, number | string> },
    );
    expect(states.map(({ id_state }) => id_state.through)).toEqual(['2020-01-03', '2020-01-06', '2020-01-08']);
    const carts = states.map(({ id_state }) => Number(id_state.last_cart_id));
    expect(carts).toEqual([...carts].sort((a, b) => a - b));
    expect(JSON.parse(readFileSync(path.join(folder, 'artifacts/.id_state.json'), 'utf8'))).toEqual(
      states.at(-1)!.id_state,
    );
    const [upload] = rows.map(({ steps }) => steps.find(({ id }) => id === 'upload')!.counts);
    expect(upload).toMatchObject({ partitions: 60 + 5 + 3 * 6 + 1, files: 2 * (60 + 5 + 3 * 6 + 1), skipped: 0 });
  });

  test('told the hook every manifest, and left nothing behind', () => {
    const told = readFileSync(path.join(folder, 'told'), 'utf8').trim().split('\n');
    expect(told).toHaveLength(60 + 5 + 8 * 6 + CHUNKS.length);
    expect(told).toContain('gs://gcs-automation-project-raw/ecom/raw/orders/ingest_dt=2020-01-08/_MANIFEST.json');
    expect(readdirSync(path.join(folder, 'artifacts/backlog')).filter((name) => !name.startsWith('.'))).toEqual([
      'static_lookups',
    ]);
    expect(readdirSync(path.join(folder, 'output/backlog'))).toEqual([]);
    expect(readFileSync(path.join(folder, 'artifacts/.backlog_checkpoint'), 'utf8')).toBe('2020-01-08\n');
  });

  test('is well, by its own verification', async () => {
    const report = await cli.json<Record<string, unknown>>(['verify', 'backlog']);
    expect(report).toMatchObject({
      pipeline: 'backlog',
      ok: true,
      problems: [],
      objects: 2 * (60 + 5 + 8 * 6 + CHUNKS.length),
    });
    expect(readdirSync(stack.stateDir).filter((name) => name.startsWith('verify-'))).toEqual([]);
  });

  test(
    'run with the worker killed at random comes out the same, byte for byte',
    async () => {
      const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
      console.log(`killed at random with SEED=${seed}`);
      const vars = { prefix: 'ecom/killed' };
      const variant = variantName('backlog', vars);
      const moments = momentsOf(seed, 3);
      const run = cli.start(['run', 'backlog', ...ALL, '--var', 'prefix=ecom/killed', '--no-until-waiting']);
      for (const moment of moments) {
        await until(`${moment.chunk} to be at ${moment.step}`, () => isAt(variant, moment), PATIENCE_MS);
        const pid = await stack.pid('worker');
        process.kill(pid, 'SIGKILL');
        await until('the worker is gone', () => startTimeOf(pid) === null);
        await stack.up();
      }
      const { exitCode, stdout } = await run;
      expect({ exitCode, stdout }).toMatchObject({ exitCode: 0 });
      const killed = await contents('ecom/killed');
      expect(killed).toEqual(await contents('ecom/raw'));
      const rows = await ledger(variant);
      expect(rows.map(({ partition, status }) => [partition, status])).toEqual(CHUNKS.map((key) => [key, 'succeeded']));
    },
    2 * PATIENCE_MS,
  );

  test(
    'what is corrupted, truncated or missing is found, and healed by running that chunk alone',
    async () => {
      const before = await contents('ecom/raw');
      const [corrupted, truncated, missing, gone] = [
        onDisk('orders/ingest_dt=2020-01-04/part-0000.parquet'),
        onDisk('carts/ingest_dt=2020-01-05/part-0000.parquet'),
        onDisk('cart_items/ingest_dt=2020-01-06/part-0000.parquet'),
        onDisk('returns/ingest_dt=2020-01-06/_MANIFEST.json'),
      ];
      const bytes = readFileSync(corrupted);
      bytes[20]! ^= 1;
      writeFileSync(corrupted, bytes);
      writeFileSync(truncated, readFileSync(truncated).subarray(0, -7));
      rmSync(missing);
      rmSync(gone);

      const found = await verify();
      expect(found.code).toBe(1);
      for (const partition of [
        'orders/ingest_dt=2020-01-04',
        'carts/ingest_dt=2020-01-05',
        'cart_items/ingest_dt=2020-01-06',
        'returns/ingest_dt=2020-01-06',
      ]) {
        expect(found.stdout).toContain(`: ${partition}`);
      }
      expect(found.stdout).toContain(`Run again: dayfill run backlog --partitions ${CHUNKS[1]} --force\n`.trim());

      expect((await cli.run(['run', 'backlog', '--partitions', CHUNKS[1], '--force'])).code).toBe(0);
      const row = (await ledger('backlog')).filter(({ partition }) => partition === CHUNKS[1]).at(-1)!;
      // Four partitions: their damaged or missing files, and the manifests that go and come with them.
      expect(row.steps.find(({ id }) => id === 'upload')!.counts).toMatchObject({ files: 7 });
      expect(await contents('ecom/raw')).toEqual(before);
      const { code, stdout } = await verify();
      expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/ecom\/raw\/: all is well\n/) });
      expect(stdout).toMatch(/orders +│ 8 +│ 8 /);
      expect(stdout).toMatch(/customers +│ 60 +│ 60 /);
    },
    PATIENCE_MS,
  );

  test('goes by the days when its chunks are renamed', async () => {
    const plan = (...args: string[]) => cli.run(['run', 'backlog', '--plan', '--json', ...args]);
    try {
      changePipeline({ ...SMALL, chunk_size: 5, end_date: '2020-01-20' });
      const overlapping = await plan('--partitions', '2020-01-06..2020-01-10');
      expect(overlapping).toMatchObject({ code: 2, stdout: '' });
      expect(overlapping.stderr).toMatch(
        /2020-01-06\.\.2020-01-10 overlaps with 2020-01-07\.\.2020-01-08, which the ledger has as succeeded/,
      );
      changePipeline({ ...SMALL, chunk_size: 6, end_date: '2020-01-20' });
      const longer = await plan('--partitions', '2020-01-01..2020-01-06');
      expect(JSON.parse(longer.stdout).partitions).toMatchObject([
        { partition: '2020-01-01..2020-01-06', action: 'skip', reason: `done as ${CHUNKS[1]}` },
      ]);
    } finally {
      changePipeline(SMALL);
    }
  });

  test('refuses a chunk whose ids nobody knows, before anything runs', async () => {
    const { code, stderr } = await cli.run(['run', 'backlog', '--partitions', CHUNKS[1], '--var', 'prefix=ecom/other']);
    expect(code).toBe(2);
    expect(stderr).toContain(`${CHUNKS[1]} begins with what ${CHUNKS[0]} hands on, and the ledger has no such state`);
  });

  test(
    'tries itself in a scratch prefix, which is removed; nothing is marked done',
    async () => {
      const before = await ledger('backlog');
      const { code, stdout, stderr } = await cli.run(['run', 'backlog', '--smoke', '--json']);
      expect({ code, stderr }).toMatchObject({ code: 0 });
      expect(JSON.parse(stdout)).toMatchObject({
        counts: { succeeded: 3 },
        verify: { ok: true, place: 'gs://gcs-automation-project-raw/ecom/smoke/' },
      });
      expect((await bucket.getFiles({ prefix: 'ecom/smoke/' }))[0]).toEqual([]);
      expect(await ledger('backlog')).toEqual(before);
    },
    PATIENCE_MS,
  );

  test.each([
    ['a pipeline without verify:', ['verify', 'chain'], 2, /chain has no verify: section/],
    ['a pipeline without smoke:', ['run', 'chain', '--smoke'], 2, /chain has no smoke: section/],
    ['a trial run with something else', ['run', 'backlog', '--smoke', '--force'], 2, /--smoke goes by itself/],
    [
      'a bucket that is not there',
      ['verify', 'backlog', '--var', 'bucket=nobody-made-this'],
      1,
      /There is no bucket nobody-made-this/,
    ],
    ['a var that is none', ['verify', 'backlog', '--var', 'colour=red'], 2, /backlog has no var colour/],
  ])('%s is refused in one sentence', async (_, args, exitCode, sentence) => {
    const { code, stdout, stderr } = await cli.run(args);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toMatch(sentence);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});

test('a partition that begins at a later step hands on what it handed on before', async () => {
  const days = ['--from', '2025-07-01', '--to', '2025-07-03'];
  expect((await cli.run(['run', 'chain', ...days])).code).toBe(0);
  const again = ['run', 'chain', '--partitions', '2025-07-02', '--force', '--from-step', 'after'];
  expect((await cli.run(again)).code).toBe(0);
  expect((await cli.run(['run', 'chain', '--partitions', '2025-07-03', '--force'])).code).toBe(0);
  const counts = (await ledger('chain')).map(({ partition, steps }) => [partition, steps[0]!.state]);
  expect(counts).toEqual([
    ['2025-07-01', { n: 1 }],
    ['2025-07-02', { n: 2 }],
    ['2025-07-02', { n: 2 }],
    ['2025-07-03', { n: 3 }],
    ['2025-07-03', { n: 3 }],
  ]);
});

interface Moment {
  chunk: string;
  step: string;
}

/** So many moments of a run, in its order. */
function momentsOf(seed: number, count: number): Moment[] {
  const all = CHUNKS.flatMap((chunk) => STEPS.map((step) => ({ chunk, step })));
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const places = new Set<number>();
  while (places.size < count) places.add(Math.floor(random() * all.length));
  return [...places].sort((a, b) => a - b).map((place) => all[place]!);
}

/** Whether a step of the chunk runs, or one after it: a quick one may be missed. */
async function isAt(variant: string, { chunk, step }: Moment): Promise<boolean> {
  for (const key of CHUNKS.slice(CHUNKS.indexOf(chunk as (typeof CHUNKS)[number]))) {
    const found = await client.workflow
      .getHandle(partitionId(variant, key))
      .describe()
      .catch(() => null);
    if (found === null || found.status.name === 'COMPLETED') continue;
    const now = String(found.searchAttributes.DayfillStep?.[0] ?? '');
    return key !== chunk || STEPS.indexOf(now) >= STEPS.indexOf(step);
  }
  return false;
}
