import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { CancelledFailure } from '@temporalio/common';
import type { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { command } from '../../src/activities/command.js';
import { dagsterJob } from '../../src/activities/dagster-job.js';
import { dbtBuild } from '../../src/activities/dbt-build.js';
import type { StepDeps } from '../../src/activities/step-activity.js';
import { loadConfig } from '../../src/config.js';
import type { StepActivity } from '../../src/contracts/activities.js';
import type { StepHeartbeat, StepRequest } from '../../src/contracts/step.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';
import { isRunning, until } from './fixtures/processes.js';
import { type RanStep, ranStep } from './fixtures/ran-step.js';
import { stepDeps } from './fixtures/step-deps.js';

const PROJECT = 'steps-test';
const { venv } = loadConfig();

let directory: string;
let deps: StepDeps;
let emulator: BigQueryEmulator;
const cancelledJobs: unknown[] = [];

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-steps-'));
  const stateDir = path.join(directory, 'state');
  const pipelinesDir = path.join(directory, 'pipelines');
  mkdirSync(path.join(pipelinesDir, 'probe', 'sub'), { recursive: true });
  emulator = await startBigQuery(venv, path.join(directory, 'bigquery'));
  const logger = pino({ level: 'silent' });
  const config = {
    ...loadConfig({ DAYFILL_STATE_DIR: stateDir, DAYFILL_PIPELINES: pipelinesDir, DAYFILL_VENV: venv }, directory),
    bigqueryEndpoint: emulator.address,
    storageEndpoint: 'http://127.0.0.1:1',
  };
  deps = {
    ...stepDeps(config, logger),
    cancelLabelledJobs: async (project, labels) => void cancelledJobs.push({ project, labels }),
  };
});
afterAll(async () => {
  await deps?.runner.close();
  await emulator?.stop();
  rmSync(directory, { recursive: true, force: true });
});
afterEach(() => {
  cancelledJobs.length = 0;
});

/** Runs the activity as a worker would; `during` is called once it is under way. */
function ran(
  activity: (deps: StepDeps) => StepActivity,
  given: StepRequest['with'],
  more: Partial<StepRequest> = {},
  during?: (environment: MockActivityEnvironment) => Promise<void>,
): Promise<RanStep> {
  const request: StepRequest = {
    key: 'probe/2025-07-16/step',
    pipeline: 'probe',
    partition: { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' },
    step: 'step',
    project: PROJECT,
    with: given,
    timeoutMs: 90_000,
    retry: { attempts: 1, initialMs: 10 },
    ...more,
  };
  return ranStep(deps, activity, request, during);
}

const runs = () => readdirSync(path.join(deps.config.stateDir, 'runs')).filter((name) => name.endsWith('.json'));
const runningPid = (): number | null => {
  const [name] = runs();
  return name === undefined
    ? null
    : JSON.parse(readFileSync(path.join(deps.config.stateDir, 'runs', name), 'utf8')).pid;
};

describe('command', () => {
  const bash = (script: string, more = {}) => ran(command, { run: ['bash', '-c', script], ...more });

  test('succeeds with its log, which begins with what ran', async () => {
    const { result, log } = await bash('echo "Hello jane.doe@example.com"');
    expect(result).toEqual({
      counts: {},
      tests: { run: 0, warned: 0 },
      bytesBilled: null,
      slotMs: null,
      costUsd: null,
      jobIds: [],
      state: null,
      log: expect.stringMatching(/^logs\/probe\/2025-07-16\/step-[\dTZ-]+\.log$/),
    });
    expect(log).toMatch(/^# probe\/2025-07-16\/step: command, attempt 1, .*\n\$ bash -c 'echo .*'\nHello <email>\n$/);
  });

  test('runs in the folder of the pipeline, or where it says', async () => {
    const pipelineDir = path.join(deps.config.pipelinesDir, 'probe');
    expect((await bash('pwd')).log).toContain(`\n${pipelineDir}\n`);
    expect((await bash('pwd', { cwd: 'sub' })).log).toContain(`\n${pipelineDir}/sub\n`);
  });

  test('finds the emulators, its labels, its virtual environment and what it passes through', async () => {
    process.env.DAYFILL_TEST_PASSED = 'given';
    process.env.DAYFILL_TEST_KEPT = 'kept';
    const { log } = await bash('env; ls -d $DAGSTER_HOME', { env: ['DAYFILL_TEST_PASSED'] });
    for (const line of [
      `DAYFILL_BIGQUERY_ENDPOINT=${emulator.address}`,
      'STORAGE_EMULATOR_HOST=http://127.0.0.1:1',
      'DAYFILL_KEY=probe/2025-07-16/step',
      `VIRTUAL_ENV=${venv}`,
      'DAYFILL_TEST_PASSED=given',
      path.join(deps.config.stateDir, 'dagster'),
    ]) {
      expect(log.split('\n')).toContain(line);
    }
    expect(log).toContain(`PATH=${venv}/bin:`);
    expect(log).not.toContain('DAYFILL_TEST_KEPT');
    const labels = JSON.parse(/^DAYFILL_LABELS=(.*)$/m.exec(log)![1]!);
    expect(labels).toMatchObject({ dayfill_pipeline: 'probe', dayfill_partition: '2025-07-16', dayfill_step: 'step' });
    for (const value of Object.values(labels)) expect(value).toMatch(/^[a-z0-9_-]{0,63}$/);
  });

  test('has labels that BigQuery allows, whatever the partition and the step are called', async () => {
    const more = {
      partition: { key: '2020-01-01..2020-01-30', start: '', end: '' },
      step: `Crm.Dedupe.1${'x'.repeat(80)}`,
    };
    const { log } = await ran(command, { run: ['env'] }, more);
    const labels = JSON.parse(/^DAYFILL_LABELS=(.*)$/m.exec(log)![1]!);
    expect(labels.dayfill_partition).toBe('2020-01-01--2020-01-30');
    expect(labels.dayfill_step).toMatch(/^crm-dedupe-1x{51}$/);
  });

  test('fails by its exit code, and says its last line', async () => {
    const { failure, error } = await bash('echo "customer +14155550123 is unknown" >&2; echo; exit 3');
    expect(error).toMatchObject({ type: 'exit_code', nonRetryable: true });
    expect(failure).toEqual({
      evidence: null,
      kind: 'exit_code',
      tests: [],
      message: 'bash ended with exit code 3. Its last line: customer <phone> is unknown',
      tail: expect.stringContaining('customer <phone> is unknown'),
      log: expect.any(String),
      exitCode: 3,
    });
  });

  const results = () =>
    readdirSync(path.join(deps.config.stateDir, 'logs/probe/2025-07-16')).filter((name) => name.endsWith('.json'));

  test('hands on the counts and the state that it leaves in DAYFILL_RESULT', async () => {
    const left = { counts: { rows: 12, rejected: 0 }, state: { last_id: 7, days: ['2025-07-16'] } };
    const { result } = await bash(`echo '${JSON.stringify(left)}' > "$DAYFILL_RESULT"`);
    expect(result).toMatchObject(left);
    expect((await bash(`echo '{"counts":{"rows":1}}' > "$DAYFILL_RESULT"`)).result).toMatchObject({ state: null });
    expect(results()).toEqual([]);
  });

  test('does nothing where a var has left the name of the program empty', async () => {
    const { result, log } = await ran(command, { run: ['', 'manifests.txt'] });
    expect(result).toMatchObject({ counts: {}, state: null });
    expect(log).toContain('# nothing to run');
  });

  test('hands on nothing when it fails', async () => {
    const { failure } = await bash(`echo '{"state":{"a":1}}' > "$DAYFILL_RESULT"; exit 3`);
    expect(failure).toMatchObject({ kind: 'exit_code', exitCode: 3 });
    expect(results()).toEqual([]);
  });

  test.each([
    ['no JSON', 'echo "{" ', /not JSON/],
    ['nothing', 'true', /not JSON/],
    ['a count that is no whole number', `echo '{"counts":{"rows":1.5}}'`, /counts\.rows/],
    ['a state that is no object', `echo '{"state":[1]}'`, /state/],
    ['a name that is not known', `echo '{"status":{}}'`, /status/],
    ['a state over 4 KB', `printf '{"state":{"a":"%s"}}' $(seq -s, 2000)`, /at most 4096 bytes/],
    ['more than 64 KB', 'seq 20000', /larger than 65536 bytes/],
  ])('fails when what it leaves is %s', async (_, script, message) => {
    const { failure } = await bash(`(${script}) > "$DAYFILL_RESULT"`);
    expect(failure).toMatchObject({
      kind: 'step_error',
      message: expect.stringMatching(/^The result that bash left in DAYFILL_RESULT is not usable: /),
    });
    expect(failure!.message).toMatch(message);
    expect(results()).toEqual([]);
  });

  test('may call other exit codes success', async () => {
    expect((await bash('exit 4', { success_codes: [0, 4] })).result).not.toBeNull();
    expect((await bash('exit 0', { success_codes: [4] })).failure).toMatchObject({ kind: 'exit_code', exitCode: 0 });
  });

  test.each([
    ['printed what the step calls success', 'echo "Done. ERROR=0"', { success: 'ERROR=0' }, null],
    [
      'did not print what the step calls success',
      'echo "Done. ERROR=2"',
      { success: 'ERROR=0' },
      /did not print.*ERROR=0/,
    ],
    [
      'printed what the step calls failure',
      'echo "ERROR=2" >&2; echo bye',
      { failure: 'ERROR=[1-9]' },
      /calls a failure: ERROR=2/,
    ],
    ['did not print what the step calls failure', 'echo "ERROR=0"', { failure: 'ERROR=[1-9]' }, null],
    ['an exit code speaks beside a pattern', 'echo ERROR=0; exit 1', { success: 'ERROR=0' }, /exit code 1/],
  ])('%s', async (_, script, patterns, message) => {
    const { failure } = await bash(script, patterns);
    if (message === null) expect(failure).toBeNull();
    else expect(failure).toMatchObject({ kind: 'exit_code', message: expect.stringMatching(message) });
  });

  test('is told by the signal that ended it', async () => {
    expect((await bash('kill -KILL $$')).failure).toMatchObject({
      message: expect.stringContaining('SIGKILL'),
      exitCode: null,
    });
  });

  test.each([
    ['a missing program', { run: ['no-such-program'] }, /no-such-program was not found/],
    ['a missing folder', { run: ['true'], cwd: 'nowhere' }, /nowhere .* is not there/],
  ])('%s is a missing executable', async (_, given, message) => {
    expect((await ran(command, given)).failure).toMatchObject({
      kind: 'missing_executable',
      message: expect.stringMatching(message),
    });
  });

  test('keeps message and tail short', async () => {
    const { failure } = await bash('for i in $(seq 200); do echo "line $i"; done; printf "é%.0s" $(seq 9000); exit 1');
    expect(Buffer.byteLength(failure!.message)).toBeLessThanOrEqual(4096);
    expect(Buffer.byteLength(failure!.message)).toBeGreaterThan(4000);
    expect(Buffer.byteLength(failure!.tail)).toBeLessThanOrEqual(2048);
  });

  test('is stopped at its time-out, with its jobs', async () => {
    let pid: number | null = null;
    const { failure, heartbeats } = await ran(command, { run: ['sleep', '1000'] }, { timeoutMs: 1500 }, async () => {
      pid = await until('the process', runningPid);
    });
    expect(failure).toMatchObject({ kind: 'timeout', message: expect.stringContaining('1.5 s'), exitCode: null });
    expect(heartbeats).toContainEqual({ pid });
    expect(isRunning(pid!)).toBe(false);
    expect(cancelledJobs).toEqual([{ project: PROJECT, labels: expect.objectContaining({ dayfill_step: 'step' }) }]);
  });

  test('is stopped when it is cancelled, and then it is cancelled', async () => {
    let pid: number | null = null;
    const { error } = await ran(command, { run: ['sleep', '1000'] }, {}, async (environment) => {
      pid = await until('the process', runningPid);
      environment.cancel('CANCELLED');
    });
    expect(error).toBeInstanceOf(CancelledFailure);
    expect(isRunning(pid!)).toBe(false);
    expect(cancelledJobs).toHaveLength(1);
  });

  test('leaves the jobs to its successor when Temporal has given up on it', async () => {
    const { error } = await ran(command, { run: ['sleep', '1000'] }, {}, async (environment) => {
      await until('the process', runningPid);
      environment.cancel('NOT_FOUND');
    });
    expect(error).toBeInstanceOf(CancelledFailure);
    expect(cancelledJobs).toEqual([]);
  });

  test('is tried again elsewhere when the worker shuts down', async () => {
    const { error } = await ran(command, { run: ['sleep', '1000'] }, {}, async (environment) => {
      await until('the process', runningPid);
      environment.cancel('WORKER_SHUTDOWN');
    });
    expect(error).toMatchObject({ type: 'WorkerShutdown', nonRetryable: false });
  });
});

describe('dbt/build', () => {
  /** Writes a dbt project into the pipeline's folder. */
  function project(name: string, files: Record<string, string>): string {
    const profile = {
      type: 'bigquery',
      method: 'oauth-secrets',
      token: 'emulator',
      api_endpoint: "{{ env_var('DAYFILL_BIGQUERY_ENDPOINT') }}",
      project: PROJECT,
      dataset: name,
      threads: 2,
    };
    const all = {
      'dbt_project.yml': `name: ${name}
version: "1.0.0"
profile: probe
flags: { send_anonymous_usage_stats: false }
query-comment: { comment: "{{ env_var('DAYFILL_LABELS') }}", job-label: true }
`,
      'profiles.yml': JSON.stringify({ probe: { target: 'dev', outputs: { dev: profile } } }),
      ...files,
    };
    for (const [file, text] of Object.entries(all)) {
      const target = path.join(deps.config.pipelinesDir, 'probe', name, file);
      mkdirSync(path.dirname(target), { recursive: true });
      writeFileSync(target, text);
    }
    return name;
  }
  const rows = 'select 1 as a union all select 1';
  const testsOf = (model: string, tests: string) =>
    `version: 2\nmodels:\n  - name: ${model}\n    columns: [{ name: a, data_tests: [${tests}] }]\n`;

  test('succeeds by its results, with progress, counts and jobs that carry the labels', async () => {
    const name = project('good', {
      'models/good.sql': rows,
      'models/day.sql': 'select \'{{ var("day") }}\' as day, a from {{ ref("good") }}',
      'models/models.yml': testsOf('good', 'not_null'),
      'tests/soft.sql': "{{ config(severity='warn') }} select * from {{ ref('good') }}",
    });
    // The command takes seconds, so that its progress is heard; a process that stays may be done before.
    const given = { project: name, runner: 'cli', vars: { day: '2025-07-16' } };
    const { result, heartbeats, log } = await ran(dbtBuild, given);
    expect(result).toMatchObject({
      counts: { success: 2, pass: 1, warn: 1 },
      tests: { run: 2, warned: 1 },
      slotMs: expect.any(Number),
    });
    expect(heartbeats.at(-1)).toMatchObject({ total: 4, pid: expect.any(Number), current: expect.any(String) });
    expect(log).toMatch(/\d\d:\d\d:\d\d {2}1 of 4 START .*good\.good/);
    expect(log).not.toContain('"info"');
    const bigquery: BigQuery = bigQueryClients({ bigqueryEndpoint: emulator.address })(PROJECT);
    const [rowsOfDay] = await bigquery.query('select day from good.day');
    expect(rowsOfDay).toEqual([{ day: '2025-07-16' }, { day: '2025-07-16' }]);
    const [invocation, ...jobs] = result!.jobIds;
    expect(log + invocation).toMatch(/[0-9a-f-]{36}$/);
    const [metadata] = await bigquery.job(jobs[0]!, { location: 'US' }).getMetadata();
    expect(metadata.configuration.labels).toMatchObject({ dayfill_pipeline: 'probe', dayfill_step: 'step' });
    expect(attemptDirOf(result!.log!)).toEqual(['run_results.json']);
  });

  test('parses an unchanged project only once', async () => {
    const name = project('parsed', { 'models/good.sql': rows });
    expect((await ran(dbtBuild, { project: name })).log).toContain('Starting full parse');
    const again = await ran(dbtBuild, { project: name });
    expect(again.result).toMatchObject({ counts: { success: 1 } });
    expect(again.log).not.toContain('Starting full parse');
  });

  test('builds what is selected', async () => {
    const name = project('selected', { 'models/one.sql': rows, 'models/two.sql': rows, 'models/three.sql': rows });
    const { result } = await ran(dbtBuild, { project: name, select: ['one', 'two'], exclude: 'two' });
    expect(result).toMatchObject({ counts: { success: 1 } });
  });

  test('names the failing tests, those that could not run among them', async () => {
    const name = project('failing', {
      'models/good.sql': rows,
      'models/models.yml': testsOf('good', 'unique'),
      'tests/broken.sql': "select nope from {{ ref('good') }}",
    });
    const { failure, error } = await ran(dbtBuild, { project: name });
    expect(error).toMatchObject({ type: 'test_failure', nonRetryable: true });
    expect([...failure!.tests].sort()).toEqual(['broken', 'unique_good_a']);
    expect(failure!.exitCode).toBe(1);
    expect(failure!.message).toContain('Failure in test unique_good_a: Got 1 result');
    expect(attemptDirOf(failure!.log!)).toEqual(expect.arrayContaining(['compiled', 'run_results.json']));
  });

  test('tells a SQL error with its position', async () => {
    const name = project('unreadable', {
      'models/good.sql': rows,
      'models/bad.sql': "select\n  b from {{ ref('good') }}",
    });
    const { failure } = await ran(dbtBuild, { project: name });
    expect(failure).toMatchObject({
      kind: 'sql_error',
      tests: [],
      message: expect.stringMatching(/Unrecognized name: b at \[\d+:\d+\]/),
    });
  });

  test.each([
    ['a model that does not parse', 'step_error', { 'models/bad.sql': 'select {{ nope(' }, {}, /Compilation Error/],
    ['a missing var', 'step_error', { 'models/bad.sql': 'select {{ var("x") }}' }, {}, /Required var 'x'/],
    ['a missing profile', 'missing_executable', { 'profiles.yml': 'other: {}' }, {}, /profile named 'probe'/],
    ['a missing target', 'missing_executable', {}, { target: 'prod' }, /target named 'prod'/],
    ['a missing environment', 'missing_executable', {}, { venv: 'no-venv' }, /no-venv\/bin\/dbt was not found/],
  ])('%s is a %s', async (what, kind, files, more, message) => {
    const name = project(what.replaceAll(' ', '_'), files as Record<string, string>);
    const { failure } = await ran(dbtBuild, { project: name, ...more });
    expect(failure).toMatchObject({ kind, message: expect.stringMatching(message) });
  });

  test('a missing project is told before anything runs', async () => {
    const { failure, log } = await ran(dbtBuild, { project: 'nowhere' });
    expect(failure).toMatchObject({ kind: 'missing_executable', message: expect.stringContaining('probe/nowhere') });
    expect(log).not.toContain('\n$ ');
  });

  test('a warehouse that does not answer is transient', async () => {
    const name = project('down', { 'models/good.sql': rows });
    const there = deps.config.bigqueryEndpoint;
    deps.config.bigqueryEndpoint = 'http://127.0.0.1:1';
    const { failure } = await ran(dbtBuild, { project: name });
    deps.config.bigqueryEndpoint = there;
    expect(failure).toMatchObject({ kind: 'transient', message: expect.stringContaining('Connection refused') });
  });

  /** An environment whose dbt is this script; $2 and on are as for dbt. */
  function fakeDbt(name: string, script: string): string {
    const bin = path.join(deps.config.pipelinesDir, 'probe', name, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(path.join(bin, 'dbt'), `#!/bin/bash\n${script}\n`);
    chmodSync(path.join(bin, 'dbt'), 0o755);
    return name;
  }
  const results = (id: string) => JSON.stringify({ metadata: { invocation_id: id }, results: [] });
  const says = (id: string) =>
    `echo '${JSON.stringify({ info: { name: 'MainReportVersion', msg: 'dbt', invocation_id: id } })}'`;

  test.each([
    [
      'results of another invocation',
      `${says('mine')}; echo '${results('old')}' > $DBT_TARGET_PATH/run_results.json`,
      /no result of its run/,
    ],
    ['no results at all', says('mine'), /exit code 0 and no result/],
    [
      'results beside a bad exit code',
      `${says('a')}; echo '${results('a')}' > $DBT_TARGET_PATH/run_results.json; echo broke >&2; exit 2`,
      /broke/,
    ],
    ['a killed dbt', `${says('a')}; kill -KILL $$`, /ended by SIGKILL/],
  ])('%s are no success', async (what, script, message) => {
    const name = project('faked', {});
    const { failure } = await ran(dbtBuild, { project: name, venv: fakeDbt(what.replaceAll(' ', '_'), script) });
    expect(failure).toMatchObject({ kind: 'step_error', message: expect.stringMatching(message) });
  });

  function attemptDirOf(log: string): string[] {
    const directory = path.join(deps.config.stateDir, log.replace(/^logs/, 'runs-data').replace(/\.log$/, ''));
    return existsSync(directory) ? readdirSync(directory) : [];
  }
});

describe('dagster/job', () => {
  const job = (name: string, more = {}, during?: Parameters<typeof ran>[3]) =>
    ran(
      dagsterJob,
      { project: path.resolve('test/stack/fixtures/dagster_probe'), module: 'dagster_probe', job: name, ...more },
      {},
      during,
    );

  test('succeeds by its event log, with its counts', async () => {
    const { result, heartbeats } = await job('load_job');
    expect(result).toMatchObject({
      counts: { rows_loaded: 42, day: 20250716 },
      tests: { run: 4, warned: 1 },
      jobIds: [expect.stringMatching(/^[0-9a-f-]{36}$/)],
    });
    expect(heartbeats.at(-1)).toMatchObject({ pid: expect.any(Number) });
  });

  test.each([
    ['fail_tests_job', 'test_failure', ['not_null_b', 'unique_a'], /Failure in test unique_a/],
    ['fail_sql_job', 'sql_error', [], /Unrecognized name: nope at \[3:5\]/],
    ['fail_network_job', 'transient', [], /Connection reset/],
    ['die_job', 'step_error', [], /exit code 7 before it had a result/],
    ['no_such_job', 'missing_executable', [], /no job no_such_job/],
  ])('%s is a %s', async (name, kind, tests, message) => {
    expect((await job(name)).failure).toMatchObject({ kind, tests, message: expect.stringMatching(message) });
  });

  test.each([
    ['a missing module', { module: 'no_such_module' }, /no_such_module cannot be imported/],
    ['a missing project', { project: 'nowhere' }, /nowhere .* is not there/],
    ['a missing environment', { venv: 'no-venv' }, /no-venv\/bin\/python was not found/],
  ])('%s is a missing executable', async (_, more, message) => {
    const { failure } = await job('load_job', more);
    expect(failure).toMatchObject({ kind: 'missing_executable', message: expect.stringMatching(message) });
  });

  test('is stopped when it is cancelled', async () => {
    let pid: number | null = null;
    const { error } = await job('take_long_job', {}, async (environment) => {
      let last: StepHeartbeat = {};
      environment.on('heartbeat', (details) => {
        last = details;
      });
      await until('the run', () => last.runId, 60_000);
      pid = runningPid();
      environment.cancel('CANCELLED');
    });
    expect(error).toBeInstanceOf(CancelledFailure);
    expect(isRunning(pid!)).toBe(false);
  });
});
