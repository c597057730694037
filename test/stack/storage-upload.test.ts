import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Storage } from '@google-cloud/storage';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { pino } from 'pino';
import type { StepDeps } from '../../src/activities/step-activity.js';
import { storageCleanup } from '../../src/activities/storage-cleanup.js';
import { storageUpload } from '../../src/activities/storage-upload.js';
import { loadConfig } from '../../src/config.js';
import type { StepActivity } from '../../src/contracts/activities.js';
import type { StepFailure } from '../../src/contracts/failure.js';
import type { StepHeartbeat, StepRequest, StepResult } from '../../src/contracts/step.js';
import { createRunner } from '../../src/runners/create-runner.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { NO_PROTECTED_TABLES } from './fixtures/protected-tables.js';
import { type StorageLine, startStorageLine } from './fixtures/storage-line.js';

const { venv } = loadConfig();
const BUCKET = 'raw';
const KEY = '2020-01-01..2020-01-02';
const [MONDAY, TUESDAY] = ['orders/ingest_dt=2020-01-01', 'orders/ingest_dt=2020-01-02'] as const;

let directory: string;
let line: StorageLine;
let deps: StepDeps;
/** Of the test: a folder to upload, and a prefix of its own. */
let folder: string;
let prefix: string;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-upload-'));
  line = await startStorageLine(venv, path.join(directory, 'storage'));
  const stateDir = path.join(directory, 'state');
  const logger = pino({ level: 'silent' });
  deps = {
    config: {
      ...loadConfig({ DAYFILL_STATE_DIR: stateDir, DAYFILL_PIPELINES: directory, DAYFILL_VENV: venv }, directory),
      storageEndpoint: line.address,
    },
    runner: createRunner({ stateDir, logger }),
    logger,
    clients: bigQueryClients({ bigqueryEndpoint: null }),
    warn: async () => {},
    cancelLabelledJobs: async () => {},
    protectedTables: NO_PROTECTED_TABLES,
  };
});
afterAll(async () => {
  await deps?.runner.close();
  await line?.stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  folder = mkdtempSync(path.join(directory, 'folder-'));
  prefix = `ecom/${path.basename(folder)}`;
  line.requests.length = 0;
  line.cutAfter = () => null;
  for (const day of [MONDAY, TUESDAY]) put(day, { 'part-0000.parquet': day, 'part-0001.parquet': `${day} too` });
});

/** Writes a partition, its manifest with it. */
function put(partition: string, files: Record<string, string | Buffer>, created = '2026-11-26T00:00:00'): void {
  mkdirSync(path.join(folder, partition), { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(folder, partition, name), content);
  const listed = Object.entries(files).map(([name, content]) => ({ name, md5: md5(content) }));
  writeFileSync(
    path.join(folder, partition, '_MANIFEST.json'),
    JSON.stringify({ files: listed, content_sha256: md5(JSON.stringify(listed)), created }),
  );
}

const md5 = (content: string | Buffer) => createHash('md5').update(content).digest('base64');

interface Ran {
  result: StepResult | null;
  failure: StepFailure | null;
  error: unknown;
  heartbeats: StepHeartbeat[];
  log: string;
}

async function ran(
  activity: (deps: StepDeps) => StepActivity,
  given: StepRequest['with'] = {},
  { key = `backlog/${KEY}/upload`, heartbeat, during }: Options = {},
): Promise<Ran> {
  const info = { attempt: heartbeat === undefined ? 1 : 2, heartbeatDetails: heartbeat };
  const environment = new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR') });
  const heartbeats: StepHeartbeat[] = [];
  environment.on('heartbeat', (details) => heartbeats.push(structuredClone(details)));
  const request: StepRequest = {
    key,
    pipeline: 'backlog',
    partition: { key: KEY, start: '2020-01-01', end: '2020-01-02' },
    step: 'upload',
    project: null,
    with: { from: folder, to: `gs://${BUCKET}/${prefix}`, ...given },
    timeoutMs: 90_000,
    retry: { attempts: 2, initialMs: 10 },
  };
  const outcome = environment.run<[StepRequest], StepResult, StepActivity>(activity(deps), request).then(
    (result) => ({ result, error: null }),
    (error: unknown) => ({ result: null, error }),
  );
  await during?.(environment);
  const { result, error } = await outcome;
  const failure = error instanceof ApplicationFailure ? ((error.details?.[0] as StepFailure) ?? null) : null;
  const file = result?.log ?? failure?.log;
  const log = file ? readFileSync(path.join(deps.config.stateDir, file), 'utf8') : '';
  return { result, failure, error, heartbeats, log };
}

interface Options {
  key?: string;
  heartbeat?: StepHeartbeat;
  during?: (environment: MockActivityEnvironment) => Promise<void>;
}

const upload = (given?: StepRequest['with'], options?: Options) => ran(storageUpload, given, options);
const bucket = () => new Storage({ projectId: 'test', apiEndpoint: line.address }).bucket(BUCKET);

/** Name and content of each object under the prefix. */
async function stored(): Promise<Record<string, string>> {
  const [files] = await bucket().getFiles({ prefix: `${prefix}/` });
  const entries = files.map(async (file) => [file.name.slice(prefix.length + 1), String((await file.download())[0])]);
  return Object.fromEntries(await Promise.all(entries));
}

/** What the folder has, in the same form. */
function local(): Record<string, string> {
  const names = ['part-0000.parquet', 'part-0001.parquet', '_MANIFEST.json'];
  const all = [MONDAY, TUESDAY].flatMap((day) => names.map((name) => `${day}/${name}`));
  const there = all.filter((name) => existsSync(path.join(folder, name)));
  return Object.fromEntries(there.map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]));
}

/** `PUT name` of every change, in order; a POST that begins an upload in parts counts too. */
const changes = () =>
  line.requests
    .filter(({ method, object }) => method !== 'GET' && object !== '')
    .map(({ method, object }) => `${method} ${object.slice(prefix.length + 1)}`);

describe('upload', () => {
  test('sends all partitions, each with its manifest last, and says so', async () => {
    const { result, heartbeats, log } = await upload();
    const sizes = Object.values(local()).reduce((sum, content) => sum + content.length, 0);
    expect(result).toMatchObject({ counts: { partitions: 2, files: 6, bytes: sizes, skipped: 0, removed: 0 } });
    expect(await stored()).toEqual(local());
    for (const day of [MONDAY, TUESDAY]) {
      expect(
        changes()
          .filter((change) => change.includes(day))
          .at(-1),
      ).toBe(`POST ${day}/_MANIFEST.json`);
    }
    expect(log).toContain(`gs://raw/${prefix}/${MONDAY}: 3 files`);
    expect(heartbeats.at(-1) ?? { total: 2 }).toMatchObject({ total: 2 });
    const [metadata] = await bucket().file(`${prefix}/${MONDAY}/part-0000.parquet`).getMetadata();
    expect(metadata).toMatchObject({
      md5Hash: md5(MONDAY),
      metadata: { dayfill_pipeline: 'backlog', dayfill_partition: KEY },
    });
  });

  test('sends nothing again that is there with the same checksum', async () => {
    await upload();
    line.requests.length = 0;
    const { result } = await upload();
    expect(result).toMatchObject({ counts: { files: 0, bytes: 0, skipped: 6 } });
    expect(changes()).toEqual([]);
  });

  test('sends nothing when the export was made again and came out the same', async () => {
    await upload();
    const before = await stored();
    put(MONDAY, { 'part-0000.parquet': MONDAY, 'part-0001.parquet': `${MONDAY} too` }, '2027-01-01T00:00:00');
    line.requests.length = 0;
    expect((await upload()).result).toMatchObject({ counts: { files: 0, skipped: 6 } });
    expect(changes()).toEqual([]);
    expect(await stored()).toEqual(before);
  });

  test('replaces a partition that differs as a whole: manifest away first, stale files gone, manifest last', async () => {
    await upload();
    rmSync(path.join(folder, MONDAY), { recursive: true });
    put(MONDAY, { 'part-0000.parquet': 'other rows' });
    line.requests.length = 0;
    const { result } = await upload();
    expect(result).toMatchObject({ counts: { files: 2, skipped: 3, removed: 1 } });
    expect(changes()).toEqual([
      `DELETE ${MONDAY}/_MANIFEST.json`,
      `DELETE ${MONDAY}/part-0001.parquet`,
      `POST ${MONDAY}/part-0000.parquet`,
      `POST ${MONDAY}/_MANIFEST.json`,
    ]);
    expect(await stored()).toEqual(local());
  });

  test.each([
    ['corrupted', (file: string) => writeFileSync(file, `${MONDAY.slice(0, -1)}X`)],
    ['truncated', (file: string) => writeFileSync(file, MONDAY.slice(0, -1))],
    ['missing', (file: string) => rmSync(file)],
  ])('heals an object that is %s', async (_, damage) => {
    await upload();
    damage(path.join(line.dataDir, BUCKET, prefix, MONDAY, 'part-0000.parquet'));
    expect((await upload()).result).toMatchObject({ counts: { files: 2, skipped: 4 } });
    expect(await stored()).toEqual(local());
  });

  test('heals a manifest that is not as it was', async () => {
    await upload();
    writeFileSync(path.join(line.dataDir, BUCKET, prefix, MONDAY, '_MANIFEST.json'), '{}');
    await upload();
    expect(await stored()).toEqual(local());
  });

  test('leaves other partitions of the prefix alone', async () => {
    await upload();
    const before = await stored();
    rmSync(path.join(folder, TUESDAY), { recursive: true });
    await upload();
    expect(await stored()).toEqual(before);
  });

  test('a dry run lists what would go and changes nothing', async () => {
    const { result, log } = await upload({ dry_run: 'true' });
    expect(result).toMatchObject({ counts: { partitions: 2, files: 6, skipped: 0 } });
    expect(log).toContain(`would send gs://raw/${prefix}/${MONDAY}/part-0000.parquet (${MONDAY.length} bytes)`);
    expect(changes()).toEqual([]);
    expect(await stored()).toEqual({});
    await upload({ dry_run: 'false' });
    expect((await upload({ dry_run: true })).result).toMatchObject({ counts: { files: 0, skipped: 6 } });
  });

  test('lists the manifests for what comes after', async () => {
    const list = path.join(folder, '..', `${path.basename(folder)}.list`);
    await upload({ manifest_list: list });
    expect(readFileSync(list, 'utf8')).toBe(
      [MONDAY, TUESDAY].map((day) => `gs://raw/${prefix}/${day}/_MANIFEST.json\n`).join(''),
    );
  });

  test('does not touch what a run with other vars has uploaded', async () => {
    await upload();
    const { failure } = await upload({}, { key: `backlog~1a2b3c4d/${KEY}/upload` });
    expect(failure).toMatchObject({
      kind: 'pipeline',
      message: expect.stringContaining('was uploaded by backlog, and this is backlog~1a2b3c4d'),
    });
  });

  test.each([
    [
      'a manifest that is not JSON',
      () => writeFileSync(path.join(folder, MONDAY, '_MANIFEST.json'), '{'),
      {},
      'step_error',
      /_MANIFEST.json is not JSON/,
    ],
    [
      'a folder that is a partition itself',
      () => writeFileSync(path.join(folder, '_MANIFEST.json'), '{}'),
      {},
      'step_error',
      /is itself a partition/,
    ],
    ['an empty folder', () => rmSync(path.join(folder, 'orders'), { recursive: true }), {}, 'step_error', /nothing in/],
    [
      'a partition without manifest',
      () => rmSync(path.join(folder, MONDAY, '_MANIFEST.json')),
      {},
      'step_error',
      /2020-01-01 has files but no _MANIFEST/,
    ],
    ['no place in a bucket', () => {}, { to: 'gs://../x' }, 'pipeline', /gs:\/\/bucket\/prefix/],
  ])('%s is refused before anything is sent', async (_, prepare, given, kind, message) => {
    prepare();
    const { failure } = await upload(given);
    expect(failure).toMatchObject({ kind, message: expect.stringMatching(message) });
    expect(changes()).toEqual([]);
  });

  test('a connection that drops now and then is no failure', async () => {
    let dropped = 0;
    line.cutAfter = ({ method, object }) => (method === 'POST' && object.includes('part') && dropped++ < 2 ? 10 : null);
    const { result } = await upload();
    expect(result).toMatchObject({ counts: { files: 6 } });
    expect(line.requests.filter(({ cut }) => cut)).toHaveLength(2);
    expect(await stored()).toEqual(local());
  });

  test('one that is gone is transient; the next attempt sends only the rest', async () => {
    line.cutAfter = ({ object }) => (object.includes(TUESDAY) ? 0 : null);
    const { error, failure } = await upload();
    expect(error).toMatchObject({ type: 'transient', nonRetryable: false });
    expect(failure).toMatchObject({ kind: 'transient', message: expect.stringMatching(/^Cloud Storage: /) });
    expect(Object.keys(await stored()).filter((name) => name.startsWith(TUESDAY))).toEqual([]);
    line.cutAfter = () => null;
    expect((await upload()).result).toMatchObject({ counts: { files: 3, skipped: 3 } });
    expect(await stored()).toEqual(local());
  });

  test('is stopped when it is cancelled', async () => {
    line.cutAfter = () => null;
    const { error } = await upload({}, { during: async (environment) => environment.cancel('CANCELLED') });
    expect(error).toBeInstanceOf(CancelledFailure);
  });

  test('a large file goes in parts, and the next attempt goes on where the last one was', async () => {
    const large = randomBytes(20 * 1024 * 1024);
    put(MONDAY, { 'part-0000.parquet': large });
    rmSync(path.join(folder, MONDAY, 'part-0001.parquet'));
    const isPart = ({ method, object }: { method: string; object: string }) =>
      method === 'PUT' && object.includes('part');
    line.cutAfter = (request) => (isPart(request) && line.requests.filter(isPart).length > 1 ? 1000 : null);
    const first = await upload();
    expect(first.failure).toMatchObject({ kind: 'transient' });
    const heard = first.heartbeats.at(-1)!;
    expect(heard.uploads).toEqual({ [`${prefix}/${MONDAY}/part-0000.parquet`]: expect.stringContaining('upload_id=') });
    line.cutAfter = () => null;
    line.requests.length = 0;
    const second = await upload({}, { heartbeat: heard });
    expect(second.result).not.toBeNull();
    const parts = line.requests.filter(isPart).reduce((sum, { bytes }) => sum + bytes, 0);
    expect(parts).toBeLessThanOrEqual(large.length - 8 * 1024 * 1024);
    const [content] = await bucket().file(`${prefix}/${MONDAY}/part-0000.parquet`).download();
    expect(content.equals(large)).toBe(true);
  });

  test('an upload in parts that the server has forgotten begins anew', async () => {
    const large = randomBytes(9 * 1024 * 1024);
    put(MONDAY, { 'part-0000.parquet': large });
    const name = `${prefix}/${MONDAY}/part-0000.parquet`;
    const uploads = {
      [name]: `${line.address}/upload/storage/v1/b/raw/o?uploadType=resumable&upload_id=gone&name=${encodeURIComponent(name)}`,
    };
    expect((await upload({}, { heartbeat: { uploads } })).failure).toBeNull();
    expect((await bucket().file(name).download())[0].equals(large)).toBe(true);
  });
});

describe('clean-up', () => {
  const cleanUp = (given: StepRequest['with'] = {}) => ran(storageCleanup, { remove: [csv()], ...given });
  const csv = () => `${folder}.csv`;
  beforeEach(() => {
    mkdirSync(csv());
    writeFileSync(path.join(csv(), 'orders.csv'), 'order_id\n1\n');
  });

  test('removes what is uploaded, and again does nothing', async () => {
    await upload();
    expect((await cleanUp()).result).toMatchObject({ counts: { removed: 2 } });
    expect([folder, `${folder}.uploaded`, csv()].filter(existsSync)).toEqual([]);
    expect((await cleanUp()).result).toMatchObject({ counts: { removed: 0 } });
  });

  test('removes nothing while a partition is not in the bucket as it is here', async () => {
    await upload();
    writeFileSync(path.join(line.dataDir, BUCKET, prefix, TUESDAY, 'part-0000.parquet'), 'something else');
    const { failure } = await cleanUp();
    expect(failure).toMatchObject({
      kind: 'step_error',
      message: expect.stringMatching(/^Nothing was removed: gs:.*2020-01-02/),
    });
    expect([folder, csv()].filter(existsSync)).toHaveLength(2);
  });

  test('removes nothing when there is nothing to compare', async () => {
    rmSync(folder, { recursive: true });
    expect((await cleanUp()).failure).toMatchObject({
      kind: 'step_error',
      message: expect.stringContaining('Nothing was removed'),
    });
    expect(existsSync(csv())).toBe(true);
  });

  test('goes on with what an attempt that was cut off had begun', async () => {
    mkdirSync(`${folder}.uploaded/orders`, { recursive: true });
    rmSync(folder, { recursive: true });
    expect((await cleanUp()).failure).toBeNull();
    expect([`${folder}.uploaded`, csv()].filter(existsSync)).toEqual([]);
  });

  test('keeps everything when asked', async () => {
    await upload();
    expect((await cleanUp({ keep: 'true' })).result).toMatchObject({ counts: { removed: 0 } });
    expect([folder, csv()].filter(existsSync)).toHaveLength(2);
  });
});
