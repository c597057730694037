import { createHash, randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { BigQuery, type GetJobsOptions, type Query } from '@google-cloud/bigquery';
import { Storage } from '@google-cloud/storage';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execa } from 'execa';
import getPort from 'get-port';
import { loadConfig } from '../../src/config.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';

const PROJECT = 'talbots-og-map-dev';
const READY_WITHIN_MS = 30_000;
/** Some seconds of work for one core: long enough to be asked about, cancelled or killed. */
const SLOW_QUERY = `select count(*) n from unnest(generate_array(1, 30000)) a, unnest(generate_array(1, 14000)) b
where mod(a * b, 7) = 3`;
const python = path.join(loadConfig().venv, 'bin', 'python');
const launchers = path.resolve('warehouse/emulators');
const runPython = (args: string[], env = {}) => execa(python, args, { reject: false, env });

/** An emulator that this test started, its address the same after a restart. */
class Emulator {
  readonly address: string;
  private process: ReturnType<typeof runPython> | undefined;

  constructor(
    private readonly script: string,
    private readonly port: number,
    private readonly readyPath: string,
    private readonly args: string[],
  ) {
    this.address = `http://127.0.0.1:${port}`;
  }

  async start(): Promise<void> {
    const args = [path.join(launchers, this.script), '--port', `${this.port}`, ...this.args];
    const child = runPython(args);
    this.process = child;
    let exited = false;
    void child.then(() => {
      exited = true;
    });
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await this.isReady())) {
      if (exited || Date.now() > deadline) throw new Error(`${this.script} is not ready: ${(await child).stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends it and returns after how many milliseconds it was gone, and with which exit code. */
  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<{ ms: number; exitCode: number | undefined }> {
    const started = Date.now();
    this.process?.kill(signal);
    const result = await this.process;
    return { ms: Date.now() - started, exitCode: result?.exitCode };
  }

  private async isReady(): Promise<boolean> {
    try {
      return (await fetch(this.address + this.readyPath)).ok;
    } catch {
      return false; // not listening yet
    }
  }
}

let directory: string;
let bigqueryEmulator: Emulator;
let storageEmulator: Emulator;
let bigquery: BigQuery;
let storage: Storage;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dayfill-emulators-'));
  const objects = path.join(directory, 'storage');
  const tables = path.join(directory, 'bigquery');
  bigqueryEmulator = new Emulator('bigquery.py', await getPort(), '/readyz', [
    '--data-dir',
    tables,
    '--storage-root',
    objects,
  ]);
  storageEmulator = new Emulator('storage.py', await getPort(), '/', ['--data-dir', objects]);
  await Promise.all([bigqueryEmulator.start(), storageEmulator.start()]);
  bigquery = bigQueryClients({ bigqueryEndpoint: bigqueryEmulator.address })(PROJECT);
  storage = new Storage({ projectId: PROJECT, apiEndpoint: storageEmulator.address });
  await rows('create schema probe');
});

afterAll(async () => {
  await Promise.all([bigqueryEmulator?.stop('SIGKILL'), storageEmulator?.stop('SIGKILL')]);
  await rm(directory, { recursive: true, force: true });
});

// biome-ignore lint/suspicious/noExplicitAny: rows have whatever columns the query names
async function rows(query: string, options: Query = {}): Promise<any[]> {
  const [job] = await bigquery.createQueryJob({ query, location: 'US', ...options });
  return (await job.getQueryResults())[0];
}

async function count(table: string): Promise<number> {
  return (await rows(`select count(*) n from ${table}`))[0].n;
}

const onDay = (day: string): Query => ({ params: { partition: BigQuery.date(day) } });
let lastJob = 0;
const newJobId = () => `probe_${process.pid}_${++lastJob}`;

describe('queries', () => {
  test('NUMERIC keeps its digits', async () => {
    await rows('create table probe.numeric_ddl (a numeric)');
    await rows('insert into probe.numeric_ddl values (1.123456789)');
    await rows('create table probe.numeric_ctas as select cast("2.123456789" as numeric) b');
    const [row] = await rows(
      `select a, b, cast("123456789012345678.12" as numeric) c from probe.numeric_ddl, probe.numeric_ctas`,
    );
    expect([row.a, row.b, row.c].map(String)).toEqual(['1.123456789', '2.123456789', '123456789012345678.12']);
  });

  test('weeks start where they are told to', async () => {
    const [row] = await rows(`select date_trunc(date "2026-02-17", week(monday)) monday,
      date_trunc(date "2026-02-17", isoweek) iso, date_trunc(date "2026-02-17", week) sunday`);
    expect([row.monday.value, row.iso.value, row.sunday.value]).toEqual(['2026-02-16', '2026-02-16', '2026-02-15']);
  });

  test('a table with declared columns is made from a query in parentheses, as dbt contracts write it', async () => {
    await rows('create table probe.contract (a int64 not null, b numeric) as (select 1 a, numeric "1.123456" b)');
    expect(await count('probe.contract')).toBe(1);
  });

  test('array_agg leaves nulls out, and words that DuckDB reserves are column names', async () => {
    expect(await rows('select array_agg(distinct x ignore nulls) a from unnest([1, 1, null]) x')).toEqual([{ a: [1] }]);
    expect(await rows('select at from (select 1 as at) order by at desc')).toEqual([{ at: 1 }]);
  });

  test('a parameter in a string or a comment is none', async () => {
    const [row] = await rows(`select @partition day, '@partition' text -- @partition`, onDay('2025-07-16'));
    expect([row.day.value, row.text]).toEqual(['2025-07-16', '@partition']);
  });

  test('a wildcard finds tables with a "-" in their names', async () => {
    await rows(
      'create table probe.`daily_2025-07-16` as select 1 x; create table probe.`daily_2025-07-17` as select 2 x',
    );
    expect(await rows('select _table_suffix day, x from `probe.daily_*` order by x')).toEqual([
      { day: '2025-07-16', x: 1 },
      { day: '2025-07-17', x: 2 },
    ]);
  });

  test('a statement that comes again with other days is about those', async () => {
    const about = async (one: string, other: string) => {
      const [row] = await rows(`select '${one}' one, date_add(date '${other}', interval 1 day) day_after,
        '${one}' < '${other}' earlier, date '${one}' between '9001-02-03' and '9002-02-03' far`);
      return [row.one, row.day_after.value, row.earlier, row.far];
    };
    expect(await about('2025-07-16', '2025-07-17')).toEqual(['2025-07-16', '2025-07-18', true, false]);
    expect(await about('2025-07-17', '2025-02-28')).toEqual(['2025-07-17', '2025-03-01', false, false]);
    expect(await about('2025-07-17', '2025-07-17')).toEqual(['2025-07-17', '2025-07-18', false, false]);
    expect(await about('9001-02-04', '9001-02-03')).toEqual(['9001-02-04', '9001-02-04', false, true]);
  });

  test('a merge on false replaces a partition, whether its source has an alias or is a table', async () => {
    await rows(`create table probe.replaced as select date '2025-07-16' day, n from unnest([1, 2]) n;
      insert into probe.replaced values ('2025-07-17', 3);
      create table probe.arriving as select date '2025-07-16' day, 9 n`);
    const merge = (source: string) =>
      rows(`merge into probe.replaced as known using ${source} on false
        when not matched by source and known.day in (date '2025-07-16') then delete
        when not matched then insert (day, n) values (day, n)`);
    for (const source of ['(select * from probe.arriving) as fresh', 'probe.arriving']) {
      await merge(source);
      expect((await rows('select n from probe.replaced order by n')).map(({ n }) => n)).toEqual([3, 9]);
    }
  });

  test.each([
    ['selec 1', 400, 'Syntax error: Unexpected identifier "selec" at [1:1]'],
    ['select 1,\n  nocolumn from unnest([1])', 400, 'Unrecognized name: nocolumn at [2:3]'],
    ['select nofunction(1)', 400, 'Function not found: nofunction at [1:8]'],
    ["select cast('x' as int64)", 400, 'Bad int64 value: x'],
    ["select error('one day too many')", 400, 'one day too many'],
    ['select * from probe.nowhere', 404, `Not found: Table ${PROJECT}:probe.nowhere was not found in location US`],
  ])('%j is refused with its message, by jobs.insert and jobs.query', async (query, code, message) => {
    await expect(rows(query)).rejects.toMatchObject({ code, message });
    await expect(bigquery.query(query)).rejects.toMatchObject({ code, message });
  });

  test('asking for the past is refused: no copies of changed tables are kept', async () => {
    await rows('create table probe.changed as select 1 x');
    const past =
      'select * from probe.changed for system_time as of timestamp_sub(current_timestamp(), interval 1 hour)';
    await expect(rows(past)).rejects.toThrow('no history');
  });

  test('the rows of an old job are dropped, and asking for them says so', async () => {
    const jobId = newJobId();
    await rows('select 1', { jobId });
    for (let done = 0; done < 300; done += 50) await Promise.all(Array.from({ length: 50 }, () => rows('select 2')));
    await expect(bigquery.job(jobId, { location: 'US' }).getQueryResults()).rejects.toMatchObject({
      code: 404,
      message: expect.stringContaining('run the query again'),
    });
  });
});

describe('scripts', () => {
  beforeAll(() =>
    rows(`create table probe.days as select day from unnest(generate_date_array('2025-07-16', '2025-07-20')) day`),
  );

  test('a fix: DDL, then a transaction with @partition, harmless when run twice', async () => {
    const fix = `-- keeps what it deletes of @partition
create table if not exists probe.backup (day date, at timestamp);
begin transaction;
insert into probe.backup select day, current_timestamp() from probe.days where day = @partition;
delete from probe.days where day = @partition;
commit transaction;`;
    await rows(fix, onDay('2025-07-16'));
    await rows(fix, onDay('2025-07-16'));
    expect([await count('probe.days'), await count('probe.backup')]).toEqual([4, 1]);
  });

  test('a failing statement undoes its transaction and is located in the script', async () => {
    const script = `begin transaction;
delete from probe.days where day > @partition;
insert into probe.days
  select nocolumn from probe.days;
commit transaction;`;
    await expect(rows(script, onDay('2025-07-17'))).rejects.toMatchObject({
      code: 400,
      message: 'Unrecognized name: nocolumn at [4:10]',
    });
    expect(await count('probe.days')).toBe(4);
  });

  test('a handler can roll back, and read what went wrong', async () => {
    const [row] = await rows(`begin
  begin transaction;
  delete from probe.days where true;
  select error('stop');
  commit transaction;
exception when error then
  rollback transaction;
  select @@error.message as message;
end;`);
    expect(row.message).toBe('stop at [4:3]');
    expect(await count('probe.days')).toBe(4);
  });

  test('a transaction that is not committed changes nothing', async () => {
    await rows('begin transaction; delete from probe.days where true;');
    expect(await count('probe.days')).toBe(4);
  });

  test('DDL inside a transaction is refused, temporary tables are not and end with their job', async () => {
    await expect(rows('begin transaction; create table probe.no as select 1 x; commit transaction;')).rejects.toThrow(
      'DDL inside a transaction',
    );
    const temporary =
      'begin transaction; create temp table kept as select 1 x; commit transaction; select x from kept;';
    expect(await rows(temporary)).toEqual([{ x: 1 }]);
    await expect(rows('select * from kept')).rejects.toMatchObject({ code: 404 });
  });

  test('variables and parameters meet', async () => {
    const script = `declare n int64 default 0;
set n = (select count(*) from probe.days where day > @partition);
select n;`;
    expect(await rows(script, onDay('2025-07-17'))).toEqual([{ n: 3 }]);
  });

  test('a table that a statement made of text drops is gone', async () => {
    await rows('create or replace table probe.`dated_2025-07-16` as select 1 as x');
    await rows("execute immediate concat('drop table probe.`dated_', string(date '2025-07-16'), '`')");
    expect(await rows("select 1 from probe.INFORMATION_SCHEMA.TABLES where table_name like 'dated%'")).toEqual([]);
  });

  test('a dry run runs nothing', async () => {
    await bigquery.createQueryJob({ query: 'create table probe.dry as select 1 x; select 1;', dryRun: true });
    await bigquery.createQueryJob({ query: 'delete from probe.days where true', dryRun: true });
    await expect(rows('select * from probe.dry')).rejects.toMatchObject({ code: 404 });
    expect(await count('probe.days')).toBe(4);
  });
});

describe('jobs', () => {
  test('a job id runs once', async () => {
    await rows('create table probe.once (x int64)');
    const jobId = newJobId();
    await rows('insert into probe.once values (1)', { jobId });
    await expect(rows('insert into probe.once values (1)', { jobId })).rejects.toMatchObject({
      code: 409,
      message: `Already Exists: Job ${PROJECT}:US.${jobId}`,
    });
    expect(await count('probe.once')).toBe(1);
  });

  test('labels are kept and listed', async () => {
    const jobId = newJobId();
    const labels = { dayfill_pipeline: 'talbots', dayfill_partition: '2025-07-16' };
    const since = Date.now();
    await rows('select 1', { jobId, labels });
    const [jobs] = await bigquery.getJobs({ projection: 'full', stateFilter: ['done'], minCreationTime: `${since}` });
    expect(jobs.find((job) => job.id === jobId)?.metadata.configuration.labels).toEqual(labels);
    const [job] = await bigquery.job(jobId, { location: 'US' }).getMetadata();
    expect(job.configuration).toMatchObject({ jobType: 'QUERY', labels });
    const [page] = await bigquery.getJobs({ maxResults: 2, autoPaginate: false });
    expect(page).toHaveLength(2);
    const fields = 'jobs(jobReference/jobId,configuration(jobType,labels))';
    const parts: GetJobsOptions & { fields: string } = { projection: 'full', minCreationTime: `${since}`, fields };
    const [partial] = await bigquery.getJobs(parts);
    const part = partial.find((job) => job.id === jobId);
    expect(part?.metadata).toEqual({ jobReference: { jobId }, configuration: { jobType: 'QUERY', labels } });
    const [later] = await bigquery.getJobs({ minCreationTime: `${Date.now() + 60_000}` });
    expect(later).toEqual([]);
  });

  test('a failed job keeps its error, for getMetadata and getQueryResults', async () => {
    const jobId = newJobId();
    await expect(rows("select error('no')", { jobId })).rejects.toMatchObject({ code: 400 });
    const job = bigquery.job(jobId, { location: 'US' });
    const [metadata] = await job.getMetadata();
    expect(metadata.status).toMatchObject({ state: 'DONE', errorResult: { reason: 'invalidQuery', message: 'no' } });
    await expect(job.getQueryResults()).rejects.toMatchObject({ code: 400, message: 'no' });
  });

  test('while a job runs it is answered for, its id is taken, and it can be cancelled', async () => {
    const jobId = newJobId();
    const script = `begin transaction; delete from probe.once where true; ${SLOW_QUERY}; ${SLOW_QUERY}; commit transaction`;
    const [job] = await bigquery.createQueryJob({ query: script, jobId, location: 'US' });
    expect(job.metadata.status.state).toBe('RUNNING');
    expect((await job.getMetadata())[0].status.state).toBe('RUNNING');
    expect((await bigquery.getJobs({ stateFilter: ['pending', 'running'] }))[0].map((each) => each.id)).toEqual([
      jobId,
    ]);
    expect((await bigquery.dataset('probe').table('once').getRows())[0]).toEqual([{ x: 1 }]);
    await expect(rows('select 1', { jobId })).rejects.toMatchObject({ code: 409 });
    expect((await job.getMetadata())[0].status.state).toBe('RUNNING');

    await job.cancel();
    await expect(job.getQueryResults()).rejects.toMatchObject({ message: expect.stringContaining('cancelled') });
    expect((await job.getMetadata())[0].status.errorResult.reason).toBe('stopped');
    expect(await count('probe.once')).toBe(1);
  });

  test('a job that outlasts its insert is waited for', async () => {
    expect((await bigquery.query(SLOW_QUERY))[0]).toHaveLength(1);
  });
});

describe('costs', () => {
  const MIB = 1024 * 1024;
  const billed = async (query: string, options: Query = {}) => {
    const [job] = await bigquery.createQueryJob({ query, location: 'US', ...options });
    if (!options.dryRun) await job.getQueryResults();
    const { statistics } = options.dryRun ? job.metadata : (await job.getMetadata())[0];
    expect(statistics.query).toMatchObject({ totalBytesProcessed: statistics.totalBytesProcessed });
    return { bytes: Number(statistics.totalBytesProcessed), billed: Number(statistics.query.totalBytesBilled) };
  };
  const bytes = async (query: string, options?: Query) => (await billed(query, options)).bytes;

  beforeAll(async () => {
    // Ten days of a hundred rows: 8 bytes of id, 8 of day, 2 + 4 of name, 2 x 8 of parts.
    await rows(`create table probe.priced partition by day as
      select i id, date_add(date '2025-07-01', interval mod(i, 10) day) day, 'abcd' name, [i, i] parts
      from unnest(generate_array(1, 1000)) i`);
    await rows(
      'create view probe.priced_view as with all_of_it as (select * from probe.priced) select * from all_of_it',
    );
    await rows(`create table probe.by_time partition by timestamp_trunc(at, day) as
      select id, timestamp_add(timestamp(day), interval mod(id, 24) hour) at from probe.priced`);
  });

  test.each([
    ['select 1', 0],
    ['select count(*) from probe.priced', 0],
    ['select id from probe.priced', 8_000],
    ['select id from probe.priced where id = -1', 8_000],
    ['select max(id) from probe.priced', 8_000],
    ['/* {"dayfill_step": "crm"} */ -- dbt begins so\n select id from probe.priced', 8_000],
    ['select * from probe.priced', 38_000],
    ['select name from probe.priced_view', 6_000],
    ['select a.id from probe.priced a join probe.priced b on a.id = b.id', 8_000],
    ["select id from probe.priced_view where day = '2025-07-03'", 1_600],
    ["select id from probe.priced where day between '2025-07-03' and date_add('2025-07-03', interval 1 day)", 3_200],
    ["select id from probe.priced where day in ('2025-07-03', '2025-07-09') and name like 'a%'", 4_400],
    ["select id from probe.priced where day = '2024-01-01'", 0],
    ['select id from probe.priced where day >= (select max(day) from probe.priced)', 16_000],
    ["select id from probe.by_time where at >= '2025-07-10 12:00:00'", 1_600],
    ["select id from probe.by_time where date(at) = '2025-07-02'", 1_600],
    ["select id from probe.by_time where date(at) between '2025-07-02' and '2025-07-03' and id > 0", 3_200],
    [
      "declare d date default '2025-07-03'; select id from probe.priced where day = d; select name from probe.priced",
      7_600,
    ],
    ["create table probe.priced_copy as select id from probe.priced where day = '2025-07-03'", 1_600],
    ["insert into probe.priced_copy select id from probe.priced where day = '2025-07-04'", 1_600],
    ["update probe.priced set name = 'efgh' where day = '2025-07-03'", 4_600],
    ["delete from probe.priced where day = '2025-07-10' and id = 0", 5_400],
    [
      `merge probe.priced a using probe.priced_copy b on a.id = b.id and a.day >= '2025-07-09'
       when matched then update set name = 'ijkl'`,
      1_600 + 200 * (8 + 8 + 38),
    ],
  ])('%s reads %i bytes: its columns, of the partitions that a constant filter leaves', async (query, expected) => {
    expect(await bytes(query)).toBe(expected);
  });

  test('a statement that comes again reads what its tables and views have become', async () => {
    const bytesWith = async (definition: string) => {
      await rows(definition);
      return [await bytes('select * from probe.defined'), await bytes('select * from probe.defined_view')];
    };
    const table = (columns: string) =>
      `create or replace table probe.defined as select ${columns} from unnest(generate_array(1, 100))`;
    const view = (columns: string) =>
      `create or replace view probe.defined_view as select ${columns} from probe.defined`;
    expect(await bytesWith(`${table('1 a, 2 b')}; ${view('a')}`)).toEqual([1_600, 800]);
    expect(await bytesWith(view('a, b'))).toEqual([1_600, 1_600]);
    expect(await bytesWith(table('1 a, 2 b, 3 c'))).toEqual([2_400, 1_600]);
    expect(await bytesWith('alter table probe.defined drop column c')).toEqual([1_600, 1_600]);
    const script = (columns: string) => `create temp table held as select ${columns}; select * from held`;
    expect([await bytes(script('1 a, 2 b')), await bytes(script('1 a'))]).toEqual([16, 8]);
  });

  test('at least 10 MB are billed for each table that is read', async () => {
    const both = 'select a.id from probe.priced a join probe.by_time b on a.id = b.id';
    expect(await billed(both)).toEqual({ bytes: 16_000, billed: 20 * MIB });
    expect(await billed('select count(*) from probe.priced')).toEqual({ bytes: 0, billed: 0 });
  });

  test('a dry run tells the bytes and what is wrong, of statements that change tables too', async () => {
    const dryRun = true;
    const day = onDay('2025-07-03');
    expect(await billed('select id from probe.priced where day = @partition', { dryRun, ...day })).toEqual({
      bytes: 1_600,
      billed: 0,
    });
    expect(await bytes('delete from probe.priced where day = @partition', { dryRun, ...day })).toBe(4_600);
    expect(await bytes('create table probe.dry_copy as select * from probe.priced', { dryRun })).toBe(38_000);
    expect(await bytes("select error('it ran')", { dryRun })).toBe(0);
    await expect(bytes('delete from probe.priced where nocolumn = 1', { dryRun })).rejects.toMatchObject({
      code: 400,
      message: 'Unrecognized name: nocolumn at [1:32]',
    });
    expect(await count('probe.priced')).toBe(1000);
    await expect(rows('select * from probe.dry_copy')).rejects.toMatchObject({ code: 404 });
  });

  test.each([
    ['a query', 'create table probe.refused as select id from probe.priced', 10 * MIB - 1, 10 * MIB],
    [
      'the statement of a script that crosses it',
      'select id from probe.priced; select id from probe.priced; select 1',
      10 * MIB,
      20 * MIB,
    ],
  ])('maximumBytesBilled refuses %s before it runs', async (_, query, limit, required) => {
    const message = `Query exceeded limit for bytes billed: ${limit}. ${required} or higher required.`;
    const refused = { code: 400, message, errors: [{ reason: 'bytesBilledLimitExceeded' }] };
    const jobId = newJobId();
    await expect(rows(query, { maximumBytesBilled: `${limit}`, jobId })).rejects.toMatchObject(refused);
    await expect(bigquery.query({ query, maximumBytesBilled: `${limit}` })).rejects.toMatchObject(refused);
    const [{ status }] = await bigquery.job(jobId, { location: 'US' }).getMetadata();
    expect(status).toMatchObject({ state: 'DONE', errorResult: { reason: 'bytesBilledLimitExceeded', message } });
    await rows('select id from probe.priced', { maximumBytesBilled: `${required}` });
    await expect(rows('select * from probe.refused')).rejects.toMatchObject({ code: 404 });
  });

  test('jobTimeoutMs stops a job, in whatever statement of its script it is', async () => {
    const query = `create table probe.timed (x int64); ${SLOW_QUERY}; ${SLOW_QUERY}; drop table probe.timed`;
    const [job] = await bigquery.createQueryJob({ query, location: 'US', jobTimeoutMs: 1_200 });
    await expect(job.getQueryResults()).rejects.toThrow('Job execution was cancelled: Job timed out after 1.2s');
    expect((await job.getMetadata())[0].status.errorResult.reason).toBe('stopped');
    expect(await count('probe.timed')).toBe(0);
    await expect(rows(SLOW_QUERY, { jobTimeoutMs: 300 })).rejects.toMatchObject({ errors: [{ reason: 'stopped' }] });
    await rows('select 1', { jobTimeoutMs: 60_000 });
    const bad = { maximumBytesBilled: 'much' };
    await expect(rows('select 1', bad)).rejects.toMatchObject({
      code: 400,
      message: expect.stringContaining('maximumBytesBilled: much'),
    });
  });

  test('what a job costs is told while it runs, to several clients, and of one that waits for its turn', async () => {
    const labels = { dayfill_step: 'slow' };
    const script = `select id from probe.priced; ${SLOW_QUERY}; ${SLOW_QUERY}`;
    const [running] = await bigquery.createQueryJob({ query: script, location: 'US', labels });
    const [queued] = await bigquery.createQueryJob({ query: 'select id from probe.priced', location: 'US', labels });
    const listed = async () => {
      const [jobs] = await bigquery.getJobs({
        projection: 'full',
        allUsers: true,
        stateFilter: ['pending', 'running'],
      });
      return Object.fromEntries(jobs.map((job) => [job.id, job.metadata]));
    };
    const [first, [metadata], [{ n }]] = await Promise.all([listed(), running.getMetadata(), tables()]);
    const slotMs = (job: { statistics: { totalSlotMs: string; query: { totalSlotMs: string } } }) => {
      expect(job.statistics.query.totalSlotMs).toBe(job.statistics.totalSlotMs);
      return Number(job.statistics.totalSlotMs);
    };
    expect(n).toBeGreaterThan(0);
    expect(Object.keys(first).sort()).toEqual([running.id!, queued.id!].sort());
    expect(first[running.id!]).toMatchObject({
      status: { state: 'RUNNING' },
      configuration: { labels },
      statistics: { totalBytesProcessed: '8000', query: { totalBytesBilled: `${10 * MIB}` } },
    });
    expect(first[queued.id!]).toMatchObject({ status: { state: 'PENDING' }, statistics: { totalSlotMs: '0' } });
    expect(slotMs(metadata)).toBeGreaterThan(0);
    const [ahead] = await bigquery.createQueryJob({ query: 'select id from probe.priced', dryRun: true });
    expect(ahead.metadata.statistics.totalBytesProcessed).toBe('8000');
    const [impatient] = await bigquery.createQueryJob({ query: 'select 1', location: 'US' });
    await impatient.cancel();
    expect((await impatient.getMetadata())[0].status).toMatchObject({
      state: 'DONE',
      errorResult: { reason: 'stopped' },
    });
    const later = slotMs((await listed())[running.id!]!);
    expect(later).toBeGreaterThan(slotMs(first[running.id!]!));
    await running.cancel();
    await queued.getQueryResults();
    const ended = (await running.getMetadata())[0];
    expect(ended.statistics.query).toMatchObject({ totalBytesProcessed: '8000' });
    expect(slotMs(ended)).toBeGreaterThanOrEqual(later);
    const [{ statistics }] = await queued.getMetadata();
    expect(Number(statistics.startTime)).toBeGreaterThan(Number(statistics.creationTime));
  });

  /** Asks for something that is no job. */
  async function tables(): Promise<[{ n: number }]> {
    return [{ n: (await bigquery.dataset('probe').getTables())[0].length }];
  }
});

describe('streaming', () => {
  const schema = [
    { name: 'run_id', type: 'STRING', mode: 'REQUIRED' },
    { name: 'recorded_at', type: 'TIMESTAMP' },
    { name: 'cost', type: 'NUMERIC' },
    {
      name: 'steps',
      type: 'RECORD',
      mode: 'REPEATED',
      fields: [
        { name: 'id', type: 'STRING' },
        { name: 'tests', type: 'STRING', mode: 'REPEATED' },
        { name: 'remedies', type: 'RECORD', mode: 'REPEATED', fields: [{ name: 'id', type: 'STRING' }] },
      ],
    },
  ];
  const row = {
    run_id: 'a',
    recorded_at: '2025-07-16T10:11:12.123456Z',
    cost: '1.123456789',
    steps: [
      { id: 'crm', tests: ['t1', 't2'], remedies: [{ id: 'dedupe' }] },
      { id: 'identity', tests: [], remedies: [] },
    ],
  };
  beforeAll(() => bigquery.dataset('probe').createTable('ledger', { schema }));

  test('nested repeated records come back, through a view that keeps the latest', async () => {
    const table = bigquery.dataset('probe').table('ledger');
    await table.insert([row, { ...row, recorded_at: '2025-07-16T10:11:13Z', steps: [] }]);
    await table.insert([{ insertId: 'b/1', json: { ...row, run_id: 'b' } }], { raw: true });
    await rows(`create view probe.latest as select * from probe.ledger
      qualify row_number() over (partition by run_id order by recorded_at desc) = 1`);
    const latest = await rows('select * from probe.latest order by run_id');
    expect(latest.map((each) => [each.run_id, each.steps])).toEqual([
      ['a', []],
      ['b', row.steps],
    ]);
    expect([latest[1].recorded_at.value, `${latest[1].cost}`]).toEqual(['2025-07-16T10:11:12.123456000Z', row.cost]);
  });

  test.each([
    [{ ...row, run_id: 'x', colour: 'red' }, 'no such field: colour.'],
    [{ ...row, run_id: 'x', steps: [{ id: 'crm', colour: 'red' }] }, 'no such field: steps.colour.'],
    [{ ...row, run_id: 'x', cost: 'cheap' }, expect.any(String)],
  ])('a row that does not fit is refused with all that came with it', async (bad, message) => {
    const before = await count('probe.ledger');
    await expect(bigquery.dataset('probe').table('ledger').insert([row, bad])).rejects.toMatchObject({
      name: 'PartialFailureError',
      errors: [{ errors: [{ reason: 'stopped' }] }, { errors: [{ reason: 'invalid', message }] }],
    });
    expect(await count('probe.ledger')).toBe(before);
  });

  test('columns are added to a table with rows, in records too, and nothing else about it can be changed', async () => {
    const grown = bigquery.dataset('probe').table('grown');
    const day = { name: 'day', type: 'STRING' };
    const steps = (...fields: object[]) => ({ name: 'steps', type: 'RECORD', mode: 'REPEATED', fields });
    const id = { name: 'id', type: 'STRING' };
    await bigquery.dataset('probe').createTable('grown', { schema: [day, steps(id)] });
    await rows('create view probe.grown_view as select * from probe.grown');
    await grown.insert([{ day: 'old', steps: [{ id: 'crm' }] }]);
    const cost = { name: 'cost', type: 'RECORD', fields: [{ name: 'bytes', type: 'INTEGER' }] };
    const fields = [{ name: 'tags', type: 'STRING', mode: 'REPEATED' }, day, steps(cost, id)];
    await grown.setMetadata({ schema: { fields } });
    await grown.setMetadata({ schema: { fields } });
    await grown.insert([{ day: 'new', steps: [{ id: 'crm', cost: { bytes: 1 } }], tags: ['a'] }]);
    const kept = [
      { day: 'new', steps: [{ id: 'crm', cost: { bytes: 1 } }], tags: ['a'] },
      { day: 'old', steps: [{ id: 'crm', cost: null }], tags: [] },
    ];
    expect(await rows('select * from probe.grown order by day')).toEqual(kept);
    expect(await rows('select * from probe.grown_view order by day')).toEqual(kept);
    for (const refused of [
      [day, steps(id)],
      [{ ...day, type: 'INTEGER' }, ...fields.filter((field) => field !== day)],
      [...fields, { name: 'more', type: 'STRING', mode: 'REQUIRED' }],
    ]) {
      await expect(grown.setMetadata({ schema: { fields: refused } })).rejects.toMatchObject({ code: 400 });
    }
    expect(await rows('select * from probe.grown order by day')).toEqual(kept);
  });
});

describe('storage', () => {
  const csv = gzipSync('id,day\n1,2025-07-16\n2,2025-07-17\n');

  test('objects keep their bytes, gzip included, and are listed, described and deleted', async () => {
    const [bucket] = await storage.createBucket('landing');
    await bucket.file('crm/2025-07-16/conversions.csv.gz').save(csv, { contentType: 'application/gzip' });
    const everyByte = Buffer.from([...Array(256).keys(), 13, 10, 13, 10]);
    for (const resumable of [false, true]) {
      await bucket.file('bytes').save(everyByte, { resumable });
      expect(everyByte.equals((await bucket.file('bytes').download())[0])).toBe(true);
    }
    const file = bucket.file('crm/2025-07-16/conversions.csv.gz');
    expect(gunzipSync((await file.download())[0]).toString()).toContain('2025-07-17');
    expect((await file.getMetadata())[0]).toMatchObject({ contentType: 'application/gzip', size: `${csv.length}` });
    const [, , listing] = await bucket.getFiles({ delimiter: '/', autoPaginate: false });
    expect(listing).toMatchObject({ prefixes: ['crm/'], items: [{ name: 'bytes' }] });
    await bucket.file('bytes').delete();
    expect(await bucket.file('bytes').exists()).toEqual([false]);
  });

  test('ifGenerationMatch is honoured', async () => {
    const file = storage.bucket('landing').file('once');
    const ifNew = { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } };
    await file.save('first', ifNew);
    await expect(file.save('second', ifNew)).rejects.toMatchObject({ code: 412 });
    const [{ generation }] = await file.getMetadata();
    await file.save('third', { resumable: false, preconditionOpts: { ifGenerationMatch: generation! } });
    await expect(file.delete({ ifGenerationMatch: generation! })).rejects.toMatchObject({ code: 412 });
    expect((await file.download())[0].toString()).toBe('third');
  });

  test('a file that is changed or removed on disk is no longer what it was', async () => {
    const bucket = storage.bucket('landing');
    const [changed, removed] = [bucket.file('on-disk/changed'), bucket.file('on-disk/removed')];
    for (const file of [changed, removed])
      await file.save('whole', { resumable: false, metadata: { metadata: { by: 'us' } } });
    const [before] = await changed.getMetadata();
    writeFileSync(path.join(directory, 'storage/landing/on-disk/changed'), 'whol');
    rmSync(path.join(directory, 'storage/landing/on-disk/removed'));
    const [listed] = await bucket.getFiles({ prefix: 'on-disk/' });
    const md5Hash = createHash('md5').update('whol').digest('base64');
    expect(listed.map(({ metadata }) => metadata)).toMatchObject([
      { name: changed.name, size: '4', md5Hash, metadata: { by: 'us' } },
    ]);
    expect(listed[0]!.metadata.generation).not.toBe(before.generation);
    await expect(removed.getMetadata()).rejects.toMatchObject({ code: 404 });
  });

  test('takes a resumable upload up where it was left, from nothing or from the middle', async () => {
    const file = storage.bucket('landing').file('resumed');
    const content = randomBytes(600 * 1024);
    const part = 256 * 1024;
    for (const sent of [0, part]) {
      const [uri] = await file.createResumableUpload();
      if (sent > 0) {
        const headers = { 'content-range': `bytes 0-${sent - 1}/${content.length}` };
        expect((await fetch(uri, { method: 'PUT', headers, body: content.subarray(0, sent) })).status).toBe(308);
      }
      await file.save(content, { resumable: true, uri });
      expect(content.equals((await file.download())[0])).toBe(true);
    }
  });

  test('many small objects at once, each as quick as the first', async () => {
    const bucket = storage.bucket('landing');
    const hundred = async (round: number) => {
      const began = performance.now();
      const names = Array.from({ length: 100 }, (_, index) => `many/${round}/${index}`);
      await Promise.all(names.map((name) => bucket.file(name).save(name, { resumable: false })));
      return performance.now() - began;
    };
    const rounds: number[] = [];
    for (let round = 0; round < 10; round++) rounds.push(await hundred(round));
    const [first, last] = [Math.min(...rounds.slice(0, 3)), Math.min(...rounds.slice(-3))];
    expect(last).toBeLessThan(3 * first);
    expect((await bucket.getFiles({ prefix: 'many/' }))[0]).toHaveLength(1000);
  });

  test('BigQuery loads gs:// objects', async () => {
    const schema = {
      fields: [
        { name: 'id', type: 'INT64' },
        { name: 'day', type: 'DATE' },
      ],
    };
    const [job] = await bigquery.createJob({
      configuration: {
        load: {
          sourceUris: ['gs://landing/crm/2025-07-16/conversions.csv.gz'],
          sourceFormat: 'CSV',
          skipLeadingRows: 1,
          schema,
          destinationTable: { projectId: PROJECT, datasetId: 'probe', tableId: 'loaded' },
        },
        labels: { dayfill_step: 'crm' },
      },
    });
    expect(job.metadata.status.state).toBe('DONE');
    expect(await rows("select id from probe.loaded where day = '2025-07-17'")).toEqual([{ id: 2 }]);
  });
});

describe('crash and stop', () => {
  test('kill -9 loses nothing that was acknowledged and keeps nothing half done', async () => {
    const [done, cut] = [newJobId(), newJobId()];
    await rows('create table probe.crash as select 1 x');
    await rows('insert into probe.crash values (2)', { jobId: done });
    await storage.bucket('landing').file('kept').save('kept', { resumable: false });
    const script = `begin transaction; delete from probe.crash where true; ${SLOW_QUERY}; commit transaction`;
    await bigquery.createQueryJob({ query: script, jobId: cut });
    await Promise.all([bigqueryEmulator.stop('SIGKILL'), storageEmulator.stop('SIGKILL')]);
    await Promise.all([bigqueryEmulator.start(), storageEmulator.start()]);

    expect(await count('probe.crash')).toBe(2);
    await expect(rows('insert into probe.crash values (2)', { jobId: done })).rejects.toMatchObject({ code: 409 });
    const [metadata] = await bigquery.job(done, { location: 'US' }).getMetadata();
    expect(metadata).toMatchObject({ status: { state: 'DONE' }, statistics: { query: { numDmlAffectedRows: '1' } } });
    await expect(bigquery.job(cut, { location: 'US' }).getMetadata()).rejects.toMatchObject({ code: 404 });
    expect((await storage.bucket('landing').file('kept').download())[0].toString()).toBe('kept');
    expect((await rows('select run_id from probe.latest order by run_id')).map((row) => row.run_id)).toEqual([
      'a',
      'b',
    ]);
  });

  test('SIGTERM ends both within three seconds, even during a query', async () => {
    await bigquery.createQueryJob({ query: SLOW_QUERY });
    for (const emulator of [bigqueryEmulator, storageEmulator]) {
      const { ms, exitCode } = await emulator.stop('SIGTERM');
      expect(exitCode).toBe(0);
      expect(ms).toBeLessThan(3_000);
    }
  });

  test('a taken port is refused in one sentence', async () => {
    await storageEmulator.start();
    const port = new URL(storageEmulator.address).port;
    const folders = ['--data-dir', path.join(directory, 'other'), '--storage-root', directory];
    for (const [script, args] of [
      ['storage.py', folders.slice(0, 2)],
      ['bigquery.py', folders],
    ] as const) {
      const { exitCode, stderr } = await runPython([path.join(launchers, script), '--port', port, ...args]);
      expect([exitCode, stderr]).toEqual([
        1,
        `127.0.0.1:${port} cannot be used (Address already in use): name another --port.`,
      ]);
    }
  });

  test('another version of the emulator is refused', async () => {
    const program = `import bigquery_repairs; bigquery_repairs.REPAIRED_VERSION = "0.0.0"; bigquery_repairs.install()`;
    const { exitCode, stderr } = await execa(python, ['-c', program], {
      reject: false,
      env: { PYTHONPATH: launchers },
    });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('fit 0.0.0 only');
  });
});
