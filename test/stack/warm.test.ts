import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CancelledFailure } from '@temporalio/common';
import type { MockActivityEnvironment } from '@temporalio/testing';
import { execa } from 'execa';
import { pino } from 'pino';
import { dagsterJob } from '../../src/activities/dagster-job.js';
import { dbtBuild } from '../../src/activities/dbt-build.js';
import { prepareLaterSteps } from '../../src/activities/prepare-later-steps.js';
import type { StepDeps } from '../../src/activities/step-activity.js';
import { loadConfig } from '../../src/config.js';
import type { StepActivity } from '../../src/contracts/activities.js';
import type { RenderedPartition, RenderedStep } from '../../src/contracts/partition.js';
import type { StepRequest } from '../../src/contracts/step.js';
import { createRunner } from '../../src/runners/create-runner.js';
import type { WarmLimits } from '../../src/runners/runner.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { landConversions, lightPipelines } from '../support/light-crm.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import { isRunning, processesWith, until } from './fixtures/processes.js';
import { notedRuns, type RanStep, ranStep } from './fixtures/ran-step.js';
import { stepDeps } from './fixtures/step-deps.js';

const PROJECT = 'talbots-og-map-dev';
const { venv } = loadConfig();
const WORKER = path.resolve('test/stack/fixtures/runner-worker.mjs');

let stack: TestStack;
let pipelines: string;
let deps: StepDeps;
const warnings: string[] = [];

beforeAll(async () => {
  stack = await startTestStack({ services: ['bigquery'] });
  pipelines = lightPipelines({ cold: {}, warm: {} });
  mkdirSync(path.join(pipelines, 'probe'));
  await Promise.all([landConversions(stack, 'cold'), landConversions(stack, 'warm')]);
  deps = depsWith({});
});
afterAll(async () => {
  await deps?.runner.close();
  await stack?.stop();
  rmSync(pipelines, { recursive: true, force: true });
});

/** Of a worker of its own, whose processes stay within these limits. */
function depsWith(limits: Partial<WarmLimits>): StepDeps {
  const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push(JSON.parse(line).msg) });
  return stepDeps({ ...stack.config(), pipelinesDir: pipelines }, logger, limits);
}

function ran(
  activity: (deps: StepDeps) => StepActivity,
  given: StepRequest['with'],
  { by = deps, ...more }: Partial<StepRequest> & { by?: StepDeps } = {},
  during?: (environment: MockActivityEnvironment) => Promise<void>,
): Promise<RanStep> {
  const request: StepRequest = {
    key: 'probe/2025-07-16/step',
    pipeline: 'probe',
    partition: { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' },
    step: 'step',
    project: PROJECT,
    with: given,
    timeoutMs: 200_000,
    retry: { attempts: 1, initialMs: 10 },
    ...more,
  };
  return ranStep(by, activity, request, during);
}

const pidOf = ({ heartbeats, log }: RanStep): number =>
  heartbeats.at(-1)?.pid ?? Number(/^# done by process (\d+)/m.exec(log)?.[1]);
const query = async (sql: string) =>
  (await bigQueryClients(stack.config())(PROJECT).query({ query: sql, location: 'US' }))[0];

describe('dbt', () => {
  /** A day of warehouse/crm, whose configuration is made of the day; 2025-07-18 has rows that a test refuses. */
  const crm = (client: string, runner: string, day: string) =>
    ran(
      dbtBuild,
      {
        project: '../crm',
        target: 'oauth',
        vars: { client, project_id: PROJECT, partition_key: day },
        runner,
      },
      { key: `${client}/${day}/crm`, step: client, partition: { key: day, start: day, end: day } },
    );
  /** Nothing of it tells one client, or one run, from another. */
  const comparable = (client: string, { result, failure, log }: RanStep) => ({
    counts: result?.counts,
    tests: result?.tests,
    failure: failure && { ...failure, log: null, tail: null, usage: null, evidence: failure.evidence !== null },
    nodes: [...log.matchAll(/\d+ of \d+ ((?:OK|PASS|FAIL|SKIP)\b[^[]*?)\.* ?\[/g)]
      .map(([, node]) => node!.replace(`${client}_`, ''))
      .sort(),
  });
  const days = ['2025-07-17', '2025-07-18'];

  test('a process that stays gives the same results, failures and tables as the command line, day by day', async () => {
    const both: Record<string, RanStep[]> = { cold: [], warm: [] };
    for (const day of days) {
      both.cold!.push(await crm('cold', 'cli', day));
      both.warm!.push(await crm('warm', 'warm', day));
    }
    const [cold, warm] = ['cold', 'warm'].map((client) => both[client]!.map((each) => comparable(client, each)));
    expect(warm).toEqual(cold);
    expect(warm!.map(({ failure }) => failure?.tests ?? [])).toEqual([[], [expect.stringMatching(/^accepted/)]]);
    expect(warm![1]!.failure!.evidence).toBe(true);
    expect(warm![0]!.nodes).toHaveLength(7);
    expect(new Set(both.warm!.map(pidOf)).size).toBe(1);
    for (const table of ['talbots_raw_extraction_conversion', 'conversions']) {
      const rows = (client: string) =>
        query(`select to_json_string(t) as line from ${client}_crm.${table} as t order by line`);
      expect(await rows('warm')).toEqual(await rows('cold'));
    }
    const built = await query(
      'select string(conversion_date) as day, count(*) as n from warm_crm.conversions group by 1 order by 1',
    );
    expect(built).toEqual(days.map((day) => ({ day, n: 40 })));
  });

  test('its jobs carry the labels of the run that they are for', async () => {
    const [jobs] = await bigQueryClients(stack.config())(PROJECT).getJobs({ maxResults: 1000, projection: 'full' });
    const found = jobs
      .map(({ metadata }) => metadata.configuration)
      .filter(({ query: { query = '' } = {} }) => query?.includes('`warm_crm`.`conversions`'));
    const partitions = new Set(found.map(({ labels }) => labels?.dayfill_partition));
    expect([...partitions].sort()).toEqual(days);
    for (const {
      labels,
      query: { query: sql },
    } of found)
      expect(sql).toContain(`"dayfill_partition":"${labels.dayfill_partition}"`);
  });

  /** Writes files of a small dbt project. */
  function write(files: Record<string, string>): void {
    for (const [file, text] of Object.entries(files)) {
      const target = path.join(pipelines, 'probe/small', file);
      mkdirSync(path.dirname(target), { recursive: true });
      writeFileSync(target, text);
    }
  }
  const small = (given: StepRequest['with'] = {}, more: Parameters<typeof ran>[2] = {}) =>
    ran(dbtBuild, { project: 'small', vars: { name: 'one' }, runner: 'warm', ...given }, more);
  const parsedAgain = ({ log }: RanStep) => log.match(/Running with dbt/g)!.length === 2;

  test('parses again when the content of a file changes, and only then', async () => {
    const profile = {
      type: 'bigquery',
      method: 'oauth-secrets',
      token: 'x',
      api_endpoint: "{{ env_var('DAYFILL_BIGQUERY_ENDPOINT') }}",
      project: PROJECT,
      dataset: 'small',
      threads: 1,
    };
    write({
      'dbt_project.yml':
        'name: small\nversion: "1.0.0"\nprofile: small\nflags: { send_anonymous_usage_stats: false }\non-run-start: "select 1 as {{ var(\'name\') }}"\nquery-comment: "{{ env_var(\'DAYFILL_LABELS\') }}"\n',
      'profiles.yml': JSON.stringify({ small: { target: 'dev', outputs: { dev: profile } } }),
      'models/number.sql': 'select 1 as n',
      'models/named.sql':
        "{{ config(alias='named_' ~ var('name'), enabled=var('named', true)) }} select '{{ var('name') }}' as name",
      'models/keyed.sql': "{{ config(alias='keyed_' ~ env_var('DAYFILL_KEY').split('/')[0]) }} select 1 as n",
      'models/inner.sql': "{{ config(materialized='ephemeral') }} select '{{ env_var('DAYFILL_KEY') }}' as key",
      'models/sources.yml': JSON.stringify({
        version: 2,
        sources: [{ name: 'landing', schema: 'warm_landing', tables: [{ name: 'conversion' }] }],
        models: [{ name: 'landed', columns: [{ name: 'n', data_tests: ['not_null'] }] }],
      }),
      'models/landed.sql': "select count(*) as n from {{ source('landing', 'conversion') }}",
      'models/around.sql': "select * from {{ ref('inner') }}",
    });
    const first = await small();
    expect(first.result?.counts).toEqual({ success: 6, pass: 1 });
    const model = path.join(pipelines, 'probe/small/models/number.sql');
    const { atime, mtime } = statSync(model);
    writeFileSync(model, 'select 2 as n');
    utimesSync(model, atime, mtime);
    const changed = await small();
    expect([first, changed].map(parsedAgain)).toEqual([true, true]);
    expect(await query('select n from small.number')).toEqual([{ n: 2 }]);
    utimesSync(model, new Date(), new Date());
    const again = await small();
    expect(parsedAgain(again)).toBe(false);
    expect(again.result?.counts).toEqual({ success: 6, pass: 1 });
    write({ 'models/more.sql': 'select 3 as n' });
    const more = await small();
    expect(more.result?.counts).toEqual({ success: 7, pass: 1 });
    expect([changed, again, more].map(pidOf)).toEqual(Array(3).fill(pidOf(first)));
  });

  test('parses again for other vars and for variables of the run that a model is configured by', async () => {
    const two = await small({ vars: { name: 'two' } });
    expect(await query('select name from small.named_two')).toEqual([{ name: 'two' }]);
    expect((await small({ vars: { name: 'two', named: false } })).result?.counts).toEqual({ success: 6, pass: 1 });
    const back = await small({ vars: { name: 'one' } });
    expect(parsedAgain(back)).toBe(false);
    await small({ vars: { name: 'one' } }, { key: 'other/2025-07-16/step' });
    expect(await query('select n from small.keyed_other')).toEqual([{ n: 1 }]);
    expect(await query('select key from small.around')).toEqual([{ key: 'other/2025-07-16/step' }]);
    expect(pidOf(back)).toBe(pidOf(two));
  });

  test('a project that does not parse is told as by the command line, and a mended one is built', async () => {
    write({ 'models/more.sql': 'select {{ nope(' });
    const [warm, cold] = [await small(), await small({ runner: 'cli' })];
    expect(warm.failure).toEqual({ ...cold.failure, log: warm.failure!.log, tail: expect.any(String) });
    write({ 'models/more.sql': 'select 4 as n' });
    expect((await small()).result?.counts).toEqual({ success: 7, pass: 1 });
  });

  const inRunner = async (...lines: string[]) => {
    const env = { PYTHONPATH: path.resolve('warehouse/runner') };
    return (await execa(path.join(venv, 'bin/python'), ['-c', lines.join('\n')], { env })).stdout;
  };

  test('its shortcuts fit the installed version of dbt', async () => {
    const taken = ['from dayfill_runner.dbt_shortcuts import OF_OWN_BUILDS, take', 'print(take(OF_OWN_BUILDS))'];
    expect(await inRunner(...taken)).toBe('[]');
  });

  test('a Dagster job that runs dbt has the shortcuts from the moment at which it imports dbt', async () => {
    const kept = 'print(schema._default.__module__)';
    const began = ['from dayfill_runner.dagster_runs import DagsterRuns', 'DagsterRuns()'];
    const parts = [...began, 'from mashumaro.jsonschema import schema', kept, 'import dbt.cli.main', kept];
    expect((await inRunner(...parts)).split('\n')).toEqual([
      'mashumaro.jsonschema.schema',
      'dayfill_runner.dbt_shortcuts',
    ]);
  });

  test('a default that many fields have is made into JSON once', async () => {
    const schemas = [
      'import collections, dbt.cli.main',
      'from dbt.contracts.graph.nodes import ModelNode, SeedNode',
      'from mashumaro.jsonschema import build_json_schema, schema',
      'from dayfill_runner import dbt_shortcuts',
      'def schemas(): return [build_json_schema(node).to_dict() for node in (ModelNode, SeedNode)]',
      'plain, made, default_of = schemas(), collections.Counter(), schema._default',
      'def count(*of): made[str(of)] += 1; return default_of(*of)',
      'schema._default, dbt_shortcuts._known = count, lambda code, digest: code',
      'dbt_shortcuts.write_defaults_once()',
      'print(schemas() == plain, max(made.values()))',
    ];
    expect(await inRunner(...schemas)).toBe('True 1');
  });

  describe('before a step', () => {
    /** Prepares a step of the small project as the second of its partition. */
    const prepare = (by: StepDeps, given: StepRequest['with'] = {}) => {
      const common = { timeoutMs: 200_000, retry: { attempts: 1, initialMs: 10 }, afterFix: [] };
      const steps: RenderedStep[] = [
        { ...common, id: 'first', title: 'First', uses: 'command', with: { run: ['true'] } },
        {
          ...{ ...common, id: 'step', title: 'Step', uses: 'dbt/build' },
          with: { project: 'small', vars: { name: 'one' }, runner: 'warm', ...given },
        },
      ];
      const bounds = { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' };
      return prepareLaterSteps(by, { pipeline: 'probe', partition: bounds.key }, {
        bounds,
        steps,
      } as RenderedPartition);
    };
    const warmPids = () => notedRuns(stack.stateDir, 'warm/').map(({ pid }) => pid!);
    const startedSince = (before: number[]) => warmPids().filter((pid) => !before.includes(pid));

    test('its process starts and parses the project, once, and the step waits for that and takes it', async () => {
      const by = depsWith({});
      const before = warmPids();
      const prepared = prepare(by);
      const pid = await until('its process', () => startedSince(before)[0]);
      const built = await small({}, { by });
      expect(built.result?.counts).toEqual({ success: 7, pass: 1 });
      expect(pidOf(built)).toBe(pid);
      expect(built.log.match(/Running with dbt/g)).toHaveLength(1);
      await prepared;
      await prepare(by);
      expect(startedSince(before)).toEqual([pid]);
      await by.runner.close();
      expect(isRunning(pid)).toBe(false);
    });

    test('nothing starts for a step that the command line does', async () => {
      const by = depsWith({});
      const before = warmPids();
      await prepare(by, { runner: 'cli' });
      expect(warmPids()).toEqual(before);
      await by.runner.close();
    });

    test('what goes wrong is told by the step', async () => {
      const by = depsWith({});
      await prepare(by, { target: 'nowhere' });
      const built = await small({ target: 'nowhere' }, { by });
      expect(built.failure?.message).toContain('nowhere');
      await by.runner.close();
    });

    test('a worker that shuts down meanwhile leaves nothing behind', async () => {
      const by = depsWith({});
      const before = warmPids();
      const prepared = prepare(by);
      const pid = await until('its process', () => startedSince(before)[0]);
      await by.runner.close();
      await prepared;
      expect(isRunning(pid)).toBe(false);
      expect(warmPids()).toEqual(before);
    });
  });

  test('an environment with a dbt of its own is left to the command line, which is said once', async () => {
    const bin = path.join(pipelines, 'probe/wrapped/bin');
    mkdirSync(bin, { recursive: true });
    symlinkSync(path.join(venv, 'bin/python'), path.join(bin, 'python'));
    writeFileSync(path.join(bin, 'dbt'), '#!/bin/sh\nexit 3\n');
    chmodSync(path.join(bin, 'dbt'), 0o755);
    const wrapped = { project: '../crm', venv: 'wrapped' };
    const both = [await small(wrapped), await small(wrapped)];
    for (const { failure } of both) expect(failure).toMatchObject({ kind: 'step_error', exitCode: 3 });
    const said = /# No dbt process can be kept: .*probe\/wrapped\/bin\/dbt .* The command line is used\./;
    expect(both.map(({ log }) => said.test(log))).toEqual([true, false]);
    expect(warnings.filter((warning) => warning.includes('No dbt process'))).toHaveLength(1);
  });
});

describe('dagster', () => {
  let folder: string;
  beforeAll(() => {
    folder = path.join(pipelines, 'probe/dagster');
    mkdirSync(folder);
    copyFileSync('test/stack/fixtures/warm_probe.py', path.join(folder, 'warm_probe.py'));
  });
  const go = (name: string) => path.join(folder, `go-${name}`);
  const job = (
    name: string,
    { tags = {}, ...more }: Parameters<typeof ran>[2] & { tags?: Record<string, string> } = {},
    during?: Parameters<typeof ran>[3],
  ) =>
    ran(
      dagsterJob,
      { project: 'dagster', module: 'warm_probe', job: `${name}_job`, tags, runner: 'warm' },
      more,
      during,
    );
  const warmNotes = () => notedRuns(stack.stateDir, 'warm/');
  const noteOf = (key: string) => notedRuns(stack.stateDir, key)[0];

  test('keeps definitions and instance, and writes the event log that the Web UI shows', async () => {
    const [one, two] = [await job('look'), await job('look', { key: 'longer-key/2025-07-16/step' })];
    expect(pidOf(two)).toBe(pidOf(one));
    expect(one.result?.counts).toEqual({ version: 1, runs: 1, key_length: 'probe/2025-07-16/step'.length });
    expect(two.result?.counts).toEqual({ version: 1, runs: 2, key_length: 'longer-key/2025-07-16/step'.length });
    const sql =
      "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select run_id, status from runs order by id').fetchall())";
    const database = path.join(stack.stateDir, 'dagster/history/runs.db');
    const { stdout } = await execa(path.join(venv, 'bin/python'), ['-c', sql, database]);
    expect(stdout).toBe(`[('${one.result!.jobIds[0]}', 'SUCCESS'), ('${two.result!.jobIds[0]}', 'SUCCESS')]`);
  });

  test('code that changes is run by another process', async () => {
    const before = await job('look');
    const file = path.join(folder, 'warm_probe.py');
    const { atime, mtime } = statSync(file);
    writeFileSync(file, readFileSync(file, 'utf8').replace('VERSION = 1', 'VERSION = 23'));
    utimesSync(file, atime, mtime);
    const after = await job('look');
    expect(after.result?.counts).toMatchObject({ version: 23, runs: 1 });
    expect(after.log).toContain('the code of the project has changed');
    await until('the end of the other process', () => !isRunning(pidOf(before)));
  });

  test('two runs at once have a process each, and a third takes one of them', async () => {
    const keys = ['two/2025-07-16/a', 'two/2025-07-16/b'];
    const both = keys.map((key) => job('hold', { key, tags: { until: go('both') } }));
    const pids = await until('two processes', () => {
      const found = keys.map((key) => noteOf(key)?.pid ?? null);
      return found.includes(null) ? null : found;
    });
    expect(new Set(pids).size).toBe(2);
    writeFileSync(go('both'), '');
    for (const { result } of await Promise.all(both)) expect(result).not.toBeNull();
    expect(pids).toContain(pidOf(await job('look')));
  });

  test.each(['cancelled', 'timed out'])(
    'a run that is %s ends with its process, and the next has another',
    async (what) => {
      let pid: number | null = null;
      const cancelled = what === 'cancelled';
      const held = await job(
        'hold',
        { tags: { until: go('never') }, ...(!cancelled && { timeoutMs: 3000 }) },
        async (environment) => {
          let runId: string | undefined;
          environment.on('heartbeat', (details) => {
            runId = details.runId;
          });
          await until('the run', () => runId);
          pid = noteOf('probe/')!.pid;
          if (cancelled) environment.cancel('CANCELLED');
        },
      );
      if (cancelled) expect(held.error).toBeInstanceOf(CancelledFailure);
      else expect(held.failure).toMatchObject({ kind: 'timeout' });
      expect(isRunning(pid!)).toBe(false);
      expect(warmNotes().map((note) => note.pid)).not.toContain(pid);
      const next = await job('look');
      expect(next.result).not.toBeNull();
      expect(pidOf(next)).not.toBe(pid);
    },
  );

  test('what a run leaves in the background ends with it', async () => {
    const { result, log } = await job('leave');
    expect(result).not.toBeNull();
    const [, pid] = /^# done by process (\d+)/m.exec(log)!;
    await until('the end of the process', () => !isRunning(Number(pid)));
    // Its group ends after it, and maybe between being listed and looked at.
    const isOurs = (each: number) =>
      isRunning(each) && readFileSync(`/proc/${each}/environ`, 'utf8').includes(stack.stateDir);
    await until('the end of its group', () => !processesWith('sleep 1000').some(isOurs));
  });

  test.each([
    ['runs', { runs: 2 }, [0, 0, 1]],
    ['memory', { bytes: 1 }, [0, 1]],
  ])('a process that has reached its limit of %s makes room for another', async (_, limits, expected) => {
    const by = depsWith(limits);
    const pids: number[] = [];
    for (const _run of expected) pids.push(pidOf(await job('look', { by })));
    expect(pids.map((pid) => [...new Set(pids)].indexOf(pid))).toEqual(expected);
    await by.runner.close();
    expect(pids.map(isRunning)).not.toContain(true);
  });

  test('an idle process ends after a while, and so do those that are more than are kept', async () => {
    const by = depsWith({ idleMs: 50 });
    const pid = pidOf(await job('look', { by }));
    await until('its end', () => !isRunning(pid));
    await by.runner.close();
    const few = depsWith({ idle: 0 });
    const other = pidOf(await job('look', { by: few }));
    await until('its end', () => !isRunning(other));
    await few.runner.close();
  });

  describe('a worker that is killed', () => {
    const workers: ChildProcess[] = [];
    /** A worker with a process that stays; its run ends when the file is there. Gives the pids of both. */
    async function workerWith(stateDir: string, until_: string) {
      const home = path.join(stateDir, 'dagster');
      mkdirSync(home, { recursive: true });
      const more = {
        cwd: folder,
        env: { DAYFILL_KEY: 'killed/2025-07-16/step', DAGSTER_HOME: home },
        warm: {
          python: path.join(venv, 'bin/python'),
          kind: 'dagster',
          of: [folder],
          ask: { module: 'warm_probe', job: 'hold_job', tags: { until: until_ } },
        },
      };
      const worker = spawn(process.execPath, [WORKER, stateDir, 'killed/2025-07-16/step', 'false'], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, TEST_WARM: JSON.stringify(more) },
      });
      workers.push(worker);
      const lines: string[] = [];
      createInterface({ input: worker.stdout! }).on('line', (line) => lines.push(line));
      await until('the run', () => lines.some((line) => line.includes('"event": "run"')), 60_000);
      return { worker, pid: Number(lines[0]), lines };
    }
    const launcherOf = (worker: ChildProcess) =>
      processesWith('runners/launcher.js').find(
        (pid) => Number(/\) \S+ (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))![1]) === worker.pid,
      )!;
    let stateDir: string;
    beforeAll(() => {
      stateDir = mkdtempSync(path.join(tmpdir(), 'dayfill-warm-'));
    });
    afterAll(() => {
      for (const worker of workers) worker.kill('SIGKILL');
      rmSync(stateDir, { recursive: true, force: true });
    });

    test('takes its processes along, at work and idle', async () => {
      const { worker, pid } = await workerWith(stateDir, go('never'));
      worker.kill('SIGKILL');
      await until('the death of the busy process', () => !isRunning(pid));
      const idle = await workerWith(stateDir, folder);
      await until('the end of the run', () => idle.lines.some((line) => line.includes('"event": "result"')));
      expect(isRunning(idle.pid)).toBe(true);
      idle.worker.kill('SIGKILL');
      await until('the death of the idle process', () => !isRunning(idle.pid));
    });

    test('with its launcher leaves a run that the next worker stops', async () => {
      const { worker, pid } = await workerWith(stateDir, go('never'));
      process.kill(launcherOf(worker), 'SIGKILL');
      worker.kill('SIGKILL');
      await until('the death of the worker', () => !isRunning(worker.pid!));
      expect(isRunning(pid)).toBe(true);
      const next = createRunner({ stateDir, logger: pino({ level: 'silent' }) });
      await next.sweep();
      expect(isRunning(pid)).toBe(false);
      expect(notedRuns(stateDir, '')).toEqual([]);
      await next.close();
    });
  });
});
