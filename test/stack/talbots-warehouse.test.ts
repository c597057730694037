import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { BigQuery } from '@google-cloud/bigquery';
import { Storage } from '@google-cloud/storage';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execa } from 'execa';
import getPort from 'get-port';
import { loadConfig } from '../../src/config.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';

const PROJECT = 'talbots-og-map-dev';
const UNIQUE_TEST = 'unique_talbots_raw_extraction_conversion_unique_key';
const LABELS = { dayfill_pipeline: 'talbots', dayfill_run: 'test' };
const TABLES = [
  'talbots_landing.conversion',
  'talbots_landing.conversion_reject',
  'talbots_landing.conversion_duplicate',
  'talbots_crm.talbots_raw_extraction_conversion',
  'talbots_crm.conversions',
  'talbots_identity.conversion_persons',
  'talbots_identity.entity_merges',
  'talbots_identity.events',
  'talbots_identity.identity_quality',
  'talbots_identity.identity_suspects',
  'talbots_identity.junk_identifiers',
  'talbots_identity.junk_person_identifiers',
  'talbots_identity.person_edges',
  'talbots_identity.person_identifiers',
  'talbots_identity.person_nodes',
  'talbots_identity.person_traits',
  'talbots_identity.persons',
  'talbots_identity.resolved_person_identifiers',
  'talbots_identity.resolved_person_traits',
  'talbots_identity.restored_conversion',
  'talbots_identity.talbots_conversions_raw',
  'talbots_identity.talbots_events',
  'talbots_identity.talbots_person_identifiers',
  'talbots_identity.talbots_person_traits',
];

const warehouse = path.resolve('warehouse');
const bin = path.join(loadConfig().venv, 'bin');
const python = path.join(bin, 'python');

let directory: string;
let environment: NodeJS.ProcessEnv;
let bigquery: BigQuery;
let storage: Storage;
let queriesOfThisTest = 0;
const emulators: ChildProcess[] = [];

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dayfill-talbots-'));
  const objects = path.join(directory, 'storage');
  const tables = path.join(directory, 'bigquery');
  const [bigqueryAddress, storageAddress] = await Promise.all([
    startEmulator('bigquery.py', '/readyz', ['--data-dir', tables, '--storage-root', objects]),
    startEmulator('storage.py', '/', ['--data-dir', objects]),
  ]);
  environment = {
    PATH: `${bin}${path.delimiter}${process.env.PATH}`,
    HOME: directory,
    DAYFILL_BIGQUERY_ENDPOINT: bigqueryAddress,
    DAYFILL_STORAGE_ENDPOINT: storageAddress,
    DAYFILL_LABELS: JSON.stringify(LABELS),
    DAGSTER_HOME: path.join(directory, 'dagster'),
    DBT_TARGET_PATH: path.join(directory, 'target'),
    DBT_LOG_PATH: path.join(directory, 'logs'),
    DBT_SEND_ANONYMOUS_USAGE_STATS: 'false',
  };
  await mkdir(path.join(directory, 'dagster'));
  bigquery = bigQueryClients({ bigqueryEndpoint: bigqueryAddress })(PROJECT);
  storage = new Storage({ projectId: PROJECT, apiEndpoint: storageAddress });
  await sampleFiles();
});

afterAll(async () => {
  await Promise.all(emulators.map((emulator) => stop(emulator)));
  await rm(directory, { recursive: true, force: true });
});

async function startEmulator(script: string, readyPath: string, args: string[]): Promise<string> {
  const port = await getPort();
  const log = path.join(directory, `${script}.log`);
  const child = spawn(python, [path.join(warehouse, 'emulators', script), '--port', `${port}`, ...args]);
  child.stdout.resume();
  child.stderr.pipe(createWriteStream(log));
  emulators.push(child);
  const address = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + 60_000;
  while (!(await answers(address + readyPath))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      throw new Error(`${script} is not ready: ${await readFile(log, 'utf8')}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return address;
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    (response) => response.ok,
    () => false, // not listening yet
  );
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** Runs a command of the warehouse to its end and checks that it says nothing personal. */
async function run(cwd: string, file: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const result = await execa(file, args, {
    cwd: path.join(warehouse, cwd),
    env: { ...environment, ...env },
    extendEnv: false,
    reject: false,
    all: true,
  });
  expect(result.all).not.toMatch(/@example\.|\+1\d{3}555/i);
  return result;
}

const sampleFiles = async (...args: string[]) => {
  const result = await run('.', python, ['-m', 'sample_files', ...args]);
  expect(result).toMatchObject({ exitCode: 0 });
  return result.stdout;
};

const buildCrm = (day: string) =>
  run('crm', 'dbt', [
    'build',
    '--target=oauth',
    '--profiles-dir=.',
    '--vars',
    JSON.stringify({ client: 'talbots', project_id: PROJECT, partition_key: day }),
  ]);

const resolveIdentities = () =>
  run('identity_resolution', 'dbt', [
    'build',
    '--target=oauth',
    '--vars',
    JSON.stringify({ programmatic_client: 'talbots', project_id: PROJECT, refresh_date: '2020-01-01' }),
  ]);

const runnerArgs = (day: string, job = 'talbots_crm_ingest') => [
  path.join(warehouse, 'runner/run.py'),
  'dagster-job',
  '--module',
  'crm_dagster',
  '--job',
  job,
  '--tags',
  JSON.stringify({ 'dagster/partition': day, 'dayfill/key': `talbots/${day}/crm` }),
];

/** Ingests the day by the runner and returns its events. */
async function ingest(day: string) {
  const { stdout, exitCode, stderr } = await run('crm_dagster', python, runnerArgs(day));
  const events = stdout.split('\n').map((line) => JSON.parse(line));
  const result = events.at(-1);
  if (result?.event !== 'result') throw new Error(stderr);
  return { exitCode, events, result };
}

/** Starts an ingest of the day, sends the signal as soon as `current` is in its progress, and returns how it ended. */
async function signalIngestAt(day: string, current: string, signal: NodeJS.Signals) {
  const child = spawn(python, runnerArgs(day), {
    cwd: path.join(warehouse, 'crm_dagster'),
    env: environment,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  const events: { event: string; current?: string }[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    events.push(JSON.parse(line));
    if (events.at(-1)?.current === current) child.kill(signal);
  }
  const [exitCode] = await ended;
  return { exitCode, last: events.at(-1)?.event };
}

// biome-ignore lint/suspicious/noExplicitAny: rows have whatever columns the query names
async function query(sql: string, params?: Record<string, unknown>): Promise<any[]> {
  queriesOfThisTest++;
  const [job] = await bigquery.createQueryJob({ query: sql, location: 'US', ...(params ? { params } : {}) });
  return (await job.getQueryResults())[0];
}

async function applyFix(name: string, day: string): Promise<void> {
  const sql = await readFile(path.resolve('pipelines/talbots/fixes', `${name}.sql`), 'utf8');
  await query(sql, { partition: BigQuery.date(day) });
}

/** Every row of every table as text, in an order of its own; without when it was built, where each build makes it anew. */
async function contents(): Promise<Record<string, string[]>> {
  const entries = TABLES.map(async (table) => {
    const columns = table.startsWith('talbots_identity.identity_') ? '* except (_ingested_at)' : '*';
    const rows = await query(
      `select to_json_string(t) as line from (select ${columns} from \`${table}\`) as t order by 1`,
    );
    return [table, rows.map((row) => row.line)] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

const conversionsOn = async (day: string) =>
  (
    await query(
      `select count(*) as rows_, count(distinct conversion_id) as ids, count(distinct unique_key) as keys_
       from talbots_crm.conversions where conversion_date = @day`,
      { day: BigQuery.date(day) },
    )
  )[0];

const PASSED = /Done\. PASS=\d+ WARN=0 ERROR=0 SKIP=0/;

describe('sample files', () => {
  test('the same seed gives the same bytes, whatever the range; another seed gives others', async () => {
    const [month, day, other] = ['month', 'day', 'other'].map((name) => path.join(directory, name)) as [
      string,
      string,
      string,
    ];
    await sampleFiles('--out', month);
    await sampleFiles('--out', day, '--from', '2025-08-09', '--to', '2025-08-09');
    await sampleFiles('--out', other, '--from', '2025-08-09', '--to', '2025-08-09', '--seed', 'other');
    const read = (folder: string) => readFile(path.join(folder, 'conversions/2025-08-09.csv.gz'));
    expect((await read(day)).equals(await read(month))).toBe(true);
    expect((await read(other)).equals(await read(month))).toBe(false);
    const [delivered] = await storage.bucket('talbots-landing').file('conversions/2025-08-09.csv.gz').download({
      decompress: false,
    });
    expect(delivered.equals(await read(month))).toBe(true);
  });

  test('a second delivery changes nothing', async () => {
    expect(await sampleFiles()).toContain('0 changed, 30 as they were');
  });
});

test('each line of a file becomes a row or a reject with its reason', async () => {
  const header =
    'Conversion_ID,unique_key,order_id,email,phone,loyalty_id,store,amount,currency,converted_at,updated_at,channel';
  const time = '2025-07-16T10:00:00Z';
  const lines = [
    ['\ufeff' + header, null],
    [`a,k,o, Ann@Example.COM ,(212) 555-0100 x9,tc1,"Paramus, NJ","$1,234.50",usd,${time},,WEB`, 'row'],
    ['', null],
    [`b,k,o,none,212-555-010,,s,(5.00),USD,07/16/2025 11:59:59 PM,${time},web,,`, 'row'],
    [`c,k,o,a@b.co,+44 20 7946 0000,,s,7 USD,USD,2025-07-15 22:00:00-04:00,${time},web`, 'row'],
    ['  ,,,,', null],
    [`d,k,o,,,,"s,1,USD,${time},${time},web`, 'malformed'],
    [`e,k,o,,,,Falls Church, VA,1,USD,${time},${time},web`, 'field_count'],
    [`f, ,o,,,,s,1,USD,${time},${time},web`, 'missing_key'],
    [`g,k,o,,,,s,1.2.3,USD,${time},${time},web`, 'bad_amount'],
    [`h,k,o,,,,s,1,USD,2025-02-30T00:00:00Z,${time},web`, 'bad_timestamp'],
    [`i,k,o,,,,s,1,USD,2025-07-17T00:00:00Z,${time},web`, 'out_of_day'],
    [`j,k,o,,,,\ufffd,1,USD,${time},${time},web`, 'malformed'],
  ] as const;
  const program = `
import json, sys
from datetime import date
from crm_dagster.scrub import scrub
s = scrub(sys.stdin.read(), date(2025, 7, 16))
json.dump([s.lines, s.blank_lines, s.rows, [[r["source_line"], r["reason"], r["line"]] for r in s.rejects]], sys.stdout)`;
  const { stdout } = await execa(python, ['-c', program], {
    cwd: path.join(warehouse, 'crm_dagster'),
    env: { PYTHONUTF8: '1' },
    input: lines.map(([line]) => `${line}\r\n`).join(''),
  });
  const [read, blank, rows, rejects] = JSON.parse(stdout);
  const expected = lines.map(([line, outcome], index) => ({ line, outcome, number: index + 1 }));
  expect([read, blank]).toEqual([10, 2]);
  expect(rejects).toEqual(
    expected
      .filter(({ outcome }) => outcome !== null && outcome !== 'row')
      .map(({ line, outcome, number }) => [number, outcome, line]),
  );
  expect(rows).toEqual([
    expect.objectContaining({
      source_line: 2,
      email: 'ann@example.com',
      phone: '+12125550100',
      loyalty_id: 'TC1',
      store: 'Paramus, NJ',
      amount: '1234.50',
      currency: 'USD',
      converted_at: '2025-07-16T10:00:00+00:00',
      updated_at: '2025-07-16T10:00:00+00:00',
      channel: 'web',
    }),
    expect.objectContaining({
      source_line: 4,
      email: null,
      phone: null,
      loyalty_id: null,
      amount: '-5.00',
      converted_at: '2025-07-16T23:59:59+00:00',
    }),
    expect.objectContaining({ phone: '+442079460000', amount: '7', converted_at: '2025-07-16T02:00:00+00:00' }),
  ]);
});

describe('days, in order', () => {
  test('a good day passes by the commands that people type', async () => {
    const ingestion = await run('crm_dagster', 'dagster', [
      'job',
      'execute',
      '-m',
      'crm_dagster',
      '-j',
      'talbots_crm_ingest',
      '--tags',
      '{"dagster/partition":"2025-07-16"}',
    ]);
    expect(ingestion).toMatchObject({ exitCode: 0 });
    expect(ingestion.all).toContain('RUN_SUCCESS');
    expect((await resolveIdentities()).stdout).toMatch(PASSED);

    const { rows_, ids, keys_ } = await conversionsOn('2025-07-16');
    expect(rows_).toBeGreaterThan(1800);
    expect([ids, keys_]).toEqual([rows_, rows_]);
    const untidy = await query(
      `select count(*) as n from talbots_crm.conversions
       where email <> lower(trim(email)) or not regexp_contains(phone, r'^\\+[1-9][0-9]{7,14}$')
         or date(converted_at) <> conversion_date`,
    );
    expect(untidy[0].n).toBe(0);
    const [jobs] = await bigquery.getJobs({ maxResults: 100 });
    const made = await Promise.all(jobs.map(async (job) => (await job.getMetadata())[0].configuration));
    // dbt labels its queries, and not the load job of a seed, which replaces the table as a whole and may as well run twice.
    const labels = made
      .filter(({ load }) => load?.destinationTable?.tableId !== 'junk_identifiers')
      .map((job) => job.labels);
    expect(jobs.length).toBeGreaterThan(10);
    expect(labels.filter((found) => found?.dayfill_run !== LABELS.dayfill_run)).toHaveLength(queriesOfThisTest);
  });

  test('a day with duplicates fails in its test, and the fix and a build heal it', async () => {
    const { exitCode, result } = await ingest('2025-07-17');
    expect(exitCode).toBe(1);
    expect(result).toMatchObject({ success: false, failures: [{ step: 'build_crm' }] });
    expect(result.failures[0].message).toContain(`Failure in test ${UNIQUE_TEST}`);
    expect(result.counts.lines).toBe(result.counts.rows_loaded + result.counts.rows_rejected);

    // Which rows are to stay, worked out without the fix's help.
    const latest = (
      await query(
        `select array_agg(source_line order by updated_at desc, source_line desc)[offset(0)] as line
         from talbots_landing.conversion where conversion_date = '2025-07-17' group by unique_key`,
      )
    ).map((row) => row.line);
    await applyFix(`fix_${UNIQUE_TEST}`, '2025-07-17');
    const once_ = await query('select * from talbots_landing.conversion_duplicate order by source_line');
    await applyFix(`fix_${UNIQUE_TEST}`, '2025-07-17');
    expect(await query('select * from talbots_landing.conversion_duplicate order by source_line')).toEqual(once_);
    expect(once_).toHaveLength(result.counts.rows_loaded - latest.length);
    expect(once_.length).toBeGreaterThan(0);

    expect((await buildCrm('2025-07-17')).stdout).toMatch(PASSED);
    const kept = await query(
      `select source_line from talbots_crm.talbots_raw_extraction_conversion where conversion_date = '2025-07-17'`,
    );
    expect(kept.map((row) => row.source_line).sort()).toEqual(latest.sort());
    expect(await conversionsOn('2025-07-17')).toEqual({
      rows_: latest.length,
      ids: latest.length,
      keys_: latest.length,
    });
  });

  test('a day that identity resolution leaves conversions out of fails there, and the fix heals it', async () => {
    const { result } = await ingest('2025-07-19');
    expect(result).toMatchObject({ success: true, failures: [] });
    const failed = await resolveIdentities();
    expect(failed.exitCode).toBe(1);
    expect(failed.stdout).toContain('Failure in test conversion_id_not_present');
    expect(failed.stdout).toMatch(/ERROR=1 /);

    await applyFix('fix_conversion_id_present', '2025-07-18'); // not yet its day: nothing to put back
    expect(await query('select * from talbots_identity.restored_conversion')).toEqual([]);
    await applyFix('fix_conversion_id_present', '2025-07-19');
    const restored = await query('select * from talbots_identity.restored_conversion order by conversion_id');
    expect(restored.length).toBeGreaterThan(0);
    await applyFix('fix_conversion_id_present', '2025-07-19');
    expect(await query('select * from talbots_identity.restored_conversion order by conversion_id')).toEqual(restored);
    expect((await resolveIdentities()).stdout).toMatch(PASSED);
  });

  test('a day whose ingestion is killed twice ends as it should, and passes identity resolution', async () => {
    const atBuild = 'build_crm · talbots_raw_extraction_conversion';
    expect(await signalIngestAt('2025-07-20', 'load_landing_file', 'SIGKILL')).toMatchObject({ exitCode: null });
    expect(await signalIngestAt('2025-07-20', atBuild, 'SIGKILL')).toMatchObject({ exitCode: null });
    const { exitCode, events, result } = await ingest('2025-07-20');
    expect(exitCode).toBe(0);
    expect(events[0]).toEqual({ event: 'run', runId: result.runId });
    expect(events.at(-2)).toMatchObject({ event: 'progress', done: 2, total: 2 });
    expect(result.counts.lines).toBe(result.counts.rows_loaded + result.counts.rows_rejected);
    expect((await conversionsOn('2025-07-20')).rows_).toBe(result.counts.rows_loaded);
    expect(await dagsterRuns('talbots/2025-07-20/crm')).toEqual(['SUCCESS', 'CANCELED', 'CANCELED']);
    expect((await resolveIdentities()).stdout).toMatch(PASSED);
  });

  test('persons are the connected components of shared emails, phones and loyalty ids', async () => {
    const rows = await query(
      `select c.conversion_id, c.email, c.phone, c.loyalty_id, p.person_id from talbots_crm.conversions as c
       left join talbots_identity.conversion_persons as p using (conversion_id)`,
    );
    const parents = new Map<string, string>();
    const root = (node: string): string => {
      const parent = parents.get(node) ?? node;
      if (parent === node) return node;
      const top = root(parent);
      parents.set(node, top);
      return top;
    };
    for (const { conversion_id, email, phone, loyalty_id } of rows) {
      for (const identifier of [email && `e${email}`, phone && `p${phone}`, loyalty_id && `l${loyalty_id}`]) {
        if (identifier) parents.set(root(identifier), root(conversion_id));
      }
    }
    const pairs = new Set(rows.map((row) => `${root(row.conversion_id)} ${row.person_id}`));
    const components = new Set(rows.map((row) => root(row.conversion_id)));
    const persons = new Set(rows.map((row) => row.person_id));
    expect(persons.has(null)).toBe(false);
    expect([pairs.size, persons.size]).toEqual([components.size, components.size]);
    expect(components.size).toBeLessThan(rows.length * 0.8);
  });

  test('running days again changes no row and leaves no table behind', async () => {
    const before = await contents();
    expect((await ingest('2025-07-17')).result.success).toBe(false);
    await applyFix(`fix_${UNIQUE_TEST}`, '2025-07-17');
    expect((await buildCrm('2025-07-17')).stdout).toMatch(PASSED);
    expect((await ingest('2025-07-20')).result.success).toBe(true);
    expect((await resolveIdentities()).stdout).toMatch(PASSED);
    expect(await contents()).toEqual(before);
    const tables = await query(
      ['landing', 'crm', 'identity']
        .map(
          (name) =>
            `select concat('talbots_${name}.', table_name) as name from talbots_${name}.INFORMATION_SCHEMA.TABLES`,
        )
        .join(' union all '),
    );
    expect(tables.map((table) => table.name).sort()).toEqual([...TABLES].sort());
  });
});

test('the runner cancels its run when told to stop', async () => {
  const ended = await signalIngestAt('2025-07-24', 'build_crm', 'SIGTERM');
  expect(ended).toEqual({ exitCode: 143, last: 'canceled' });
  expect(await dagsterRuns('talbots/2025-07-24/crm')).toEqual(['CANCELED']);
});

describe('files that are not as agreed', () => {
  test('a missing file fails in one sentence; an empty one loads nothing and warns', async () => {
    await sampleFiles('--from', '2025-07-21', '--to', '2025-07-22', '--missing', '2025-07-21', '--empty', '2025-07-22');
    const missing = (await ingest('2025-07-21')).result;
    expect(missing.failures).toEqual([
      {
        step: 'load_landing_file',
        message:
          'The landing file gs://talbots-landing/conversions/2025-07-21.csv.gz is not there; deliver it and run the day again.',
      },
    ]);
    const empty = (await ingest('2025-07-22')).result;
    expect(empty).toMatchObject({ success: true, counts: { lines: 0, rows_loaded: 0, rows_rejected: 0, warnings: 1 } });
  });

  test('an unknown defect fails a test that no remedy covers', async () => {
    await sampleFiles('--from', '2025-07-23', '--to', '2025-07-23', '--unknown-defect', '2025-07-23');
    const { result } = await ingest('2025-07-23');
    expect(result.failures).toHaveLength(1);
    expect(result.failures[0].message).toMatch(/^Failure in test accepted_values_conversions_currency__USD__CAD/);
  });
});

test('the runner runs any Dagster project, and gives the error of the step as it was raised', async () => {
  const project = path.join(directory, 'project');
  await mkdir(project);
  await writeFile(
    path.join(project, 'others.py'),
    `
import dagster as dg

@dg.asset
def counted(context):
    print("chatter")
    context.add_output_metadata({"rows": 3, "name": "x", "flag": True})

@dg.asset(deps=[counted])
def broken():
    raise ValueError("no such thing")

@dg.definitions
def defs():
    return dg.Definitions(assets=[counted, broken], jobs=[dg.define_asset_job("talbots_crm_ingest")])
`,
  );
  const args = runnerArgs('2025-07-16').map((argument) => (argument === 'crm_dagster' ? 'others' : argument));
  const { stdout, exitCode } = await execa(python, args, { cwd: project, env: environment, reject: false });
  expect(exitCode).toBe(1);
  expect(
    stdout
      .split('\n')
      .map((line) => JSON.parse(line))
      .at(-1),
  ).toMatchObject({
    success: false,
    failures: [{ step: 'broken', message: 'ValueError: no such thing' }],
    counts: { rows: 3 },
  });
});

test('the runner refuses a job and a module that are not there', async () => {
  const [job, module] = await Promise.all([
    run('crm_dagster', python, runnerArgs('2025-07-16', 'no_such_job')),
    run('crm', python, runnerArgs('2025-07-16')),
  ]);
  expect(job.exitCode).toBe(2);
  expect(JSON.parse(job.stdout)).toMatchObject({ event: 'error', kind: 'missing_job' });
  expect(module.exitCode).toBe(2);
  expect(JSON.parse(module.stdout)).toMatchObject({ event: 'error', kind: 'import_error' });
});

/** Statuses of the Dagster runs with this key, the newest first. */
async function dagsterRuns(key: string): Promise<string[]> {
  const program = `
import json, sys
from dagster import DagsterInstance, RunsFilter
runs = DagsterInstance.get().get_runs(filters=RunsFilter(tags={"dayfill/key": sys.argv[1]}))
print(json.dumps([run.status.value for run in runs]))`;
  const { stdout } = await execa(python, ['-c', program, key], { env: environment, extendEnv: false });
  return JSON.parse(stdout);
}
