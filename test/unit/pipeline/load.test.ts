// biome-ignore-all lint/suspicious/noThenProperty: the word of the pipeline file; not a function, so no promise
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PipelineError } from '../../../src/pipeline/errors.js';
import { listPipelines, loadPipeline } from '../../../src/pipeline/load.js';
import { renderDeployments } from '../../../src/pipeline/render.js';
import { shown } from '../../../src/pipeline/world.js';
import { changed, EXAMPLE, SMALL, World } from './world.js';

let world: World;
beforeAll(() => {
  world = new World();
});
afterAll(() => world.remove());

describe('a sound file', () => {
  it('loads with types, defaults and milliseconds', () => {
    const definition = world.load('talbots', EXAMPLE);
    expect(definition).toMatchObject({
      name: 'talbots',
      dir: path.join(world.pipelines, 'talbots'),
      calendar: { everyDays: 1, start: '2025-07-01', end: null },
      vars: { client: { default: 'talbots', pattern: null, overridable: false } },
      onFailure: 'wait',
      parallelSafe: false,
      concurrency: 1,
      lock: null,
    });
    const [crm, identity] = definition.steps;
    expect(crm).toMatchObject({
      title: 'CRM ingestion',
      timeoutMs: 7_200_000,
      retry: { attempts: 3, initialMs: 30_000 },
    });
    expect(crm!.remedies[0]).toMatchObject({
      id: 'dedupe',
      attempts: 1,
      when: { test: 'unique_key' },
    });
    expect(identity).toMatchObject({
      title: 'identity',
      timeoutMs: 43_200_000,
      retry: { attempts: 3, initialMs: 30_000 },
    });
    expect(identity!.remedies[0]!.run[0]).toMatchObject({
      timeoutMs: 43_200_000,
      retry: { attempts: 3, initialMs: 30_000 },
    });
  });

  it('keeps a YAML date as the text that it is', () => {
    const identity = world.load('talbots', EXAMPLE).steps[1]!;
    expect(identity.with.vars).toEqual({ refresh_date: '2020-01-01' });
  });

  it('reads every part of retry, remedies, vars and commands', () => {
    const definition = world.load(
      'small',
      `pipeline: small
partition: { every: 30d, start: 2020-01-01, end: 2021-12-31 }
vars: { zone: { default: eu1, pattern: '[a-z]+\\d', overridable: true }, limit: 10 }
parallel_safe: true
concurrency: 4
on_failure: park
lock: shared
steps:
  - id: say
    uses: command
    with: { run: [echo, "\${vars.zone}"], success: 'ERROR=0', success_codes: [0, 3], env: [HOME] }
    retry: { initial: 250ms }
    remedies:
      - id: again
        when: { kind: exit_code, exit_code: 7, error: 'no such .*' }
        attempts: 2
        run: [{ uses: command, with: { run: ["true"] }, timeout: 5m }]
        then: retry
`,
    );
    expect(definition).toMatchObject({
      calendar: { everyDays: 30, start: '2020-01-01', end: '2021-12-31' },
      vars: {
        zone: { default: 'eu1', pattern: '[a-z]+\\d', overridable: true },
        limit: { default: '10', pattern: null, overridable: false },
      },
      onFailure: 'park',
      concurrency: 4,
      lock: 'shared',
    });
    const step = definition.steps[0]!;
    expect(step.with).toEqual({
      run: ['echo', '${vars.zone}'],
      success: 'ERROR=0',
      success_codes: [0, 3],
      env: ['HOME'],
    });
    expect(step.retry).toEqual({ attempts: 3, initialMs: 250 });
    expect(step.remedies[0]).toEqual({
      id: 'again',
      when: { kind: 'exit_code', exitCode: 7, error: 'no such .*' },
      attempts: 2,
      then: 'retry',
      run: [
        {
          uses: 'command',
          with: { run: ['true'], success_codes: [0] },
          timeoutMs: 300_000,
          retry: { attempts: 3, initialMs: 30_000 },
        },
      ],
    });
  });
});

describe('freshness and critical', () => {
  const SQL = 'select day, changed_at from landing.changes';

  it('are none and true by default', () => {
    expect(world.load('small', SMALL)).toMatchObject({ freshness: null, critical: true });
  });

  it('take the SQL itself, or a file of the folder', () => {
    const vars = 'vars: { project_id: talbots-dev }\n';
    expect(world.load('small', `${SMALL}${vars}freshness: { query: "${SQL}", dataset: landing }\n`).freshness).toEqual({
      ...{ sql: SQL, project: null, location: null, dataset: 'landing' },
    });
    world.write('pipelines/small/freshness.sql', SQL);
    const own = 'freshness: { file: freshness.sql, project: other-project, location: EU }\n';
    expect(world.load('small', SMALL + own).freshness).toEqual({
      ...{ sql: SQL, project: 'other-project', location: 'EU', dataset: null },
    });
    const rule = 'decide_within: { time: 12h, action: retry }\n';
    expect(world.load('small', `${SMALL}${rule}critical: false\n`)).toMatchObject({ critical: false });
  });

  it.each([
    ['freshness: {}', 'freshness: expected either file or query'],
    ['freshness: { file: f.sql, query: select 1 }', 'freshness: expected either file or query'],
    ['freshness: { query: select 1 }', 'freshness: needs a project, or the var project_id, to run in'],
    ['freshness: { file: nowhere.sql, project: a-project }', /freshness\.file: there is no file .*nowhere\.sql/],
    ['freshness: { file: ../x.sql, project: a-project }', /freshness\.file: expected a path inside/],
    ['freshness: { query: select 1, project: "${vars.x}" }', /freshness\.project: expected the name of a Google Cloud/],
    [
      'critical: false',
      'critical: false needs decide_within, whose time says when a day that nobody decided on is skipped',
    ],
  ])('%s is refused', (line, message) => {
    const [problem, ...more] = world.problems('small', `${SMALL}${line}\n`);
    expect(more).toEqual([]);
    expect(`${problem!.path}: ${problem!.message}`).toEqual(
      typeof message === 'string' ? message : expect.stringMatching(message),
    );
  });
});

/** One mistake each: what is replaced, by what, and the problem as a person reads it after the file's name. */
const MISTAKES: [name: string, from: string, to: string, problem: string][] = [
  [
    'an unknown step kind',
    'dagster/job',
    'dagster/jbo',
    '9:11 steps.0.uses: unknown step kind "dagster/jbo"; expected one of dagster/job, dbt/build, bigquery/query, storage/upload, storage/cleanup, check/reconcile, command; did you mean "dagster/job"?',
  ],
  [
    'a key with a slip',
    'on_failure:',
    'on_failur:',
    '5:1 on_failur: unknown key "on_failur"; did you mean "on_failure"?',
  ],
  [
    'an unknown key that resembles none',
    '    timeout: 2h',
    '    colour: red',
    '11:5 steps.0.colour: unknown key "colour"; expected one of id, title, retry, remedies, after_fix, limits, cleanup, uses, with, timeout',
  ],
  [
    'an unknown key in with',
    'module:',
    'modul:',
    '10:51 steps.0.with.modul: unknown key "modul"; did you mean "module"?',
  ],
  [
    'an unknown word',
    'on_failure: wait',
    'on_failure: hold',
    '5:13 on_failure: unknown value "hold"; expected one of wait, park, stop',
  ],
  ['a missing part', ', job: talbots_crm_ingest', '', '10:11 steps.0.with.job: is missing; expected text'],
  [
    'a step without kind',
    '    uses: dagster/job\n',
    '',
    '7:5 steps.0.uses: is missing; expected one of dagster/job, dbt/build, bigquery/query, storage/upload, storage/cleanup, check/reconcile, command',
  ],
  ['a wrong type', 'module: crm_dagster', 'module: [a]', '10:59 steps.0.with.module: expected text, found a list'],
  ['an empty value', 'title: CRM ingestion', 'title:', '8:11 steps.0.title: expected text, found nothing'],
  [
    'a reserved name',
    'pipeline: talbots',
    'pipeline: backfill',
    '1:11 pipeline: "backfill" is reserved; choose another name',
  ],
  [
    'a name that is not the folder',
    'pipeline: talbots',
    'pipeline: talbot',
    '1:11 pipeline: expected the name of its folder, "talbots", found "talbot"',
  ],
  ['a step id twice', 'id: identity', 'id: crm', '22:9 steps.1.id: there is already a step "crm"; ids must differ'],
  [
    'an id that is no path',
    'id: identity',
    'id: a/../b',
    '22:9 steps.1.id: expected lower-case letters, digits, "-" and "_", beginning with a letter',
  ],
  [
    'a date that does not exist',
    '2025-07-01',
    '2025-02-30',
    '3:32 partition.start: 2025-02-30 is not a date that exists',
  ],
  ['a date that is none', '2025-07-01', 'July', '3:32 partition.start: expected a date such as 2025-07-16'],
  [
    'an end before the start',
    'start: 2025-07-01',
    'start: 2025-07-01, end: 2025-06-30',
    '3:49 partition.end: expected 2025-07-01 or later, since that is the start',
  ],
  ['a length that is none', 'every: 1d', 'every: 1w', '3:21 partition.every: expected days, such as 1d or 30d'],
  ['a length of nothing', 'every: 1d', 'every: 0d', '3:21 partition.every: expected days, such as 1d or 30d'],
  [
    'a timeout that is none',
    'timeout: 2h',
    'timeout: soon',
    '11:14 steps.0.timeout: expected a duration such as 30s, 10m or 2h',
  ],
  ['a timeout as a number', 'timeout: 2h', 'timeout: 7200', '11:14 steps.0.timeout: expected text, found 7200'],
  [
    'a timeout past the timers',
    'timeout: 2h',
    'timeout: 25d',
    '11:14 steps.0.timeout: expected a duration of more than zero and at most 20d',
  ],
  ['no attempts', 'attempts: 3', 'attempts: 0', '12:24 steps.0.retry.attempts: expected at least 1'],
  [
    'an unknown condition',
    'when: { test: unique_key }',
    'when: { tets: unique_key }',
    '15:17 steps.0.remedies.0.when.tets: unknown key "tets"; did you mean "test"?',
  ],
  [
    'an empty condition',
    'when: { test: unique_key }',
    'when: {}',
    '15:15 steps.0.remedies.0.when: expected at least one of test, error, kind, exit_code',
  ],
  [
    'an unknown failure kind',
    'when: { test: unique_key }',
    'when: { kind: test_failur }',
    '15:23 steps.0.remedies.0.when.kind: unknown value "test_failur"; expected one of test_failure, sql_error, mismatch, step_error, missing_executable, exit_code, timeout, limit, cancelled, transient, pipeline, internal; did you mean "test_failure"?',
  ],
  [
    'a regular expression that does not compile',
    'when: { test: unique_key }',
    'when: { error: "a(" }',
    '15:24 steps.0.remedies.0.when.error: not a regular expression: Invalid regular expression: /a(/: Unterminated group',
  ],
  [
    'a regular expression that never ends',
    'when: { test: unique_key }',
    'when: { error: "(a+)+b" }',
    '15:24 steps.0.remedies.0.when.error: this regular expression could take forever; do not repeat a group that itself repeats or has alternatives, nor refer back to one',
  ],
  [
    'a remedy that says not what next',
    '        then: continue\n',
    '',
    '14:9 steps.0.remedies.0.then: is missing; expected one of retry, continue',
  ],
  [
    'an undeclared var',
    '${vars.client}',
    '${vars.clinet}',
    '20:82 steps.0.remedies.0.run.1.with.vars.client: ${vars.clinet} is not declared under vars; there is client, project_id, location',
  ],
  [
    'an unknown substitution',
    '${partition}',
    '${today}',
    '20:115 steps.0.remedies.0.run.1.with.vars.partition_key: unknown ${today}; expected pipeline, partition, partition.start, partition.end, vars.<name> or previous.state.<name>',
  ],
  [
    'an open substitution',
    '"${partition}"',
    '"${partition"',
    '20:115 steps.0.remedies.0.run.1.with.vars.partition_key: unknown ${}; expected pipeline, partition, partition.start, partition.end, vars.<name> or previous.state.<name>',
  ],
  [
    'a project that changes by day',
    '../../warehouse/crm,',
    '"../../warehouse/${partition}",',
    '20:30 steps.0.remedies.0.run.1.with.project: ${partition} cannot say what is run or where; expected plain text, or a var that is not overridable',
  ],
  [
    'a calendar with a var that is none',
    'every: 1d',
    'every: "${vars.days}d"',
    '3:21 partition.every: ${vars.days} is not declared under vars; there is client, project_id, location',
  ],
  [
    'a calendar with a var that is no date',
    'start: 2025-07-01',
    'start: "${vars.client}"',
    '3:12 partition: "talbots" is not a date; expected one such as 2025-07-16',
  ],
  [
    'a trial run that changes a fixed var',
    'on_failure: wait',
    'smoke: { vars: { client: other } }',
    '5:26 smoke.vars.client: expected a var that is overridable',
  ],
  [
    'a verification of what no start knows',
    'on_failure: wait',
    'verify: { from: "gs://${partition}", run: [check, "${folder}"] }',
    '5:17 verify.from: unknown ${partition}; expected vars.<name>, or folder in run',
  ],
  [
    'park without parallel_safe',
    'on_failure: wait',
    'on_failure: park',
    '5:13 on_failure: park needs parallel_safe: true; expected wait or stop',
  ],
  [
    'concurrency without parallel_safe',
    'on_failure: wait',
    'concurrency: 2',
    '5:14 concurrency: expected 1, unless the file says parallel_safe: true',
  ],
  [
    'a var as a group without default',
    'client: talbots,',
    'client: { overridable: true },',
    '4:17 vars.client.default: is missing; expected one of text, a number',
  ],
  [
    'a var that is neither text nor number',
    'client: talbots,',
    'client: [a],',
    '4:17 vars.client: expected one of text, a number, a group of keys',
  ],
  [
    'a var name with a dash',
    'client: talbots,',
    'my-client: talbots,',
    '4:9 vars.my-client: expected letters, digits and "_"',
  ],
  [
    'a number that loses digits',
    'client: talbots,',
    'client: 007,',
    '4:17 vars.client: write it in quotes, "007", to keep every digit',
  ],
  [
    'a default against its own pattern',
    'client: talbots,',
    'client: { default: Talbots, pattern: "[a-z]+" },',
    '4:28 vars.client.default: expected a value that matches the pattern [a-z]+',
  ],
  [
    'a var made of substitutions',
    'client: talbots,',
    'client: "${partition}",',
    '4:17 vars.client: a var is plain text; ${…} is for the with of steps',
  ],
  [
    'an absolute fix file',
    'fixes/dedupe.sql',
    '/etc/passwd',
    "18:27 steps.0.remedies.0.run.0.with.file: expected a path inside the pipeline's folder, such as fixes/fix.sql",
  ],
  [
    'a fix file elsewhere',
    'fixes/dedupe.sql',
    'fixes/../../x.sql',
    "18:27 steps.0.remedies.0.run.0.with.file: expected a path inside the pipeline's folder, such as fixes/fix.sql",
  ],
  [
    'a name that is an option',
    'job: talbots_crm_ingest',
    'job: --help',
    '10:77 steps.0.with.job: expected text that does not begin with "-"',
  ],
  ['no steps', EXAMPLE.slice(EXAMPLE.indexOf('steps:')), 'steps: []\n', '6:8 steps: expected at least 1 of them'],
  ['a key twice', 'on_failure: wait', 'pipeline: other', '5:1: not YAML: Map keys must be unique'],
  [
    'a broken line',
    'on_failure: wait',
    'on_failure: [wait',
    '6:1: not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
  ],
];

const LIMITED = `${SMALL.replace('2025-07-01 }', '2025-07-01 }\nvars: { project_id: shop-dev, dataset: shop }\nbudget_usd: 12.5')}    limits:
      runtime: 20m
      bytes_billed: 1TiB
      slot_hours: 30
      cost_usd: 5
      temp_tables:
        - { like: "tmp_*_\${partition}", date_column: order_date, max_days: 7 }
        - { like: tmp, dataset: "\${vars.dataset}_tmp", project: other-dev, date_column: day, max_days: 1 }
    cleanup: [{ uses: command, with: { run: [rm, -r, "\${partition}"] } }]
`;

describe('limits', () => {
  it('are read with their units', () => {
    const definition = world.load('small', LIMITED);
    expect(definition.budgetUsd).toBe(12.5);
    expect(definition.steps[0]).toMatchObject({
      limits: {
        runtimeMs: 1_200_000,
        bytesBilled: 1024 ** 4,
        slotMs: 108_000_000,
        costUsd: 5,
        tempTables: [
          { like: 'tmp_*_${partition}', dataset: null, project: null, dateColumn: 'order_date', maxDays: 7 },
          { like: 'tmp', dataset: '${vars.dataset}_tmp', project: 'other-dev', dateColumn: 'day', maxDays: 1 },
        ],
        onLimit: 'wait',
      },
      cleanup: [{ uses: 'command', with: { run: ['rm', '-r', '${partition}'] } }],
    });
    expect(world.load('small', SMALL)).toMatchObject({ budgetUsd: null, steps: [{ limits: null, cleanup: [] }] });
  });

  it.each([
    ['a runtime that the timeout ends first', 'runtime: 20m', 'runtime: 12h', 'less than the timeout of 12h'],
    ['no limit at all', /limits:[\s\S]*(?= {4}cleanup)/, 'limits: { on_limit: warn }\n', 'at least one of runtime'],
    ['cleanup without limits', / {4}limits:[\s\S]*(?= {4}cleanup)/, '', 'the step has no limits'],
    ['no project to look for jobs in', 'project_id: shop-dev, ', '', 'needs the var project_id'],
    ['no dataset to look for tables in', ', dataset: shop', '', 'needs the dataset of the tables'],
    ['a reference to nothing', 'tmp_*_${partition}', 'tmp_${vars.day}', '${vars.day} is not declared under vars'],
    ['a reference to the day before', 'tmp_*_${partition}', '${previous.state.table}', 'is no part of limits'],
    ['a column that is none', 'order_date', '"d; drop"', 'the name of a column'],
    ['dollars for nothing', 'cost_usd: 5', 'cost_usd: 0', 'cost_usd'],
    ['an unknown amount', '1TiB', '1TB', 'an amount of data'],
    ['a budget for nothing', 'budget_usd: 12.5', 'budget_usd: 0', 'budget_usd'],
  ] as [string, string | RegExp, string, string][])('refuse %s', (_, from, to, problem) => {
    const text = LIMITED.replace(from, () => to);
    expect(text).not.toBe(LIMITED);
    expect(world.problems('small', text).map(({ path: place, message }) => `${place}: ${message}`)).toEqual(
      expect.arrayContaining([expect.stringContaining(problem)]),
    );
  });

  it('refuse a dbt project whose jobs nobody could see', () => {
    const limited = changed(
      EXAMPLE,
      'refresh_date: 2020-01-01 } }',
      'refresh_date: 2020-01-01 } }\n    limits: { slot_hours: 1 }',
    );
    world.write('warehouse/identity/dbt_project.yml', 'name: identity');
    expect(world.problems('talbots', limited)[0]!.message).toMatch(/add a query-comment with DAYFILL_LABELS$/);
    world.write(
      'warehouse/identity/dbt_project.yml',
      'query-comment: { comment: "{{ env_var(\'DAYFILL_LABELS\') }}" }',
    );
    expect(world.load('talbots', limited).steps[1]!.limits!.slotMs).toBe(3_600_000);
  });
});

describe('a mistake in a file is named with its place', () => {
  it.each(MISTAKES)('%s', (_, from, to, problem) => {
    const [first] = world.problems('talbots', changed(EXAMPLE, from, to));
    const place = `${first!.line}:${first!.column}${first!.path === '' ? '' : ` ${first!.path}`}`;
    expect(`${place}: ${first!.message}`).toBe(problem);
    expect(first!.file).toBe(path.join(world.pipelines, 'talbots', 'pipeline.yaml'));
  });

  it('refuses a command that is a string, which only a shell could read', () => {
    const [problem] = world.problems('small', changed(SMALL, '[echo, hello]', 'echo hello'));
    expect(problem).toMatchObject({
      line: 6,
      column: 18,
      path: 'steps.0.with.run',
      message: 'expected a list: the program, then its arguments, e.g. ["bq", "ls"]',
    });
  });

  it.each(['partition', 'vars.tool', 'previous.state.x'])('refuses ${%s} as the program of a command', (name) => {
    const text = `${changed(SMALL, 'run: [echo', `run: ["\${${name}}"`)}vars: { tool: { default: echo, overridable: true } }\n`;
    const [problem] = world.problems('small', text);
    expect(problem).toMatchObject({ line: 6, column: 19, path: 'steps.0.with.run.0' });
    expect(problem!.message).toBe(
      `\${${name}} cannot say what is run or where; expected plain text, or a var that is not overridable`,
    );
  });

  it('refuses a remedy id twice within a step, not across steps', () => {
    const remedy =
      '      - { id: x, when: { kind: timeout }, run: [{ uses: command, with: { run: [a] } }], then: retry }\n';
    const step = (id: string) => `  - id: ${id}\n    uses: command\n    with: { run: [a] }\n    remedies:\n${remedy}`;
    const head = SMALL.slice(0, SMALL.indexOf('  - id'));
    expect(world.load('small', head + step('a') + step('b')).steps).toHaveLength(2);
    expect(world.problems('small', head + step('a') + remedy)[0]).toMatchObject({
      line: 9,
      column: 15,
      path: 'steps.0.remedies.1.id',
    });
  });

  it('refuses previous.state where partitions run side by side', () => {
    const text = `${changed(SMALL, 'hello', '"${previous.state.cursor}"')}parallel_safe: true\n`;
    expect(world.problems('small', text)[0]!.message).toContain('parallel_safe: true does not promise');
    expect(() => world.load('small', text.replace('parallel_safe: true', ''))).not.toThrow();
  });

  it('follows an alias to where it was written', () => {
    const text = changed(
      SMALL,
      '    with: { run: [echo, hello] }\n',
      '    with: &w { run: [] }\n  - id: two\n    uses: command\n    with: *w\n',
    );
    expect(world.problems('small', text).map(({ line, path: place }) => `${line} ${place}`)).toEqual([
      '6 steps.0.with.run.0',
      '6 steps.1.with.run.0',
    ]);
  });

  it('refuses aliases that unfold without end', () => {
    const levels = Array.from({ length: 9 }, (_, n) => `a${n + 1}: &a${n + 1} [${`*a${n}, `.repeat(10)}]\n`);
    expect(world.problems('small', `a0: &a0 x\n${levels.join('')}`)[0]!.message).toMatch(
      /^not usable: Excessive alias/,
    );
  });

  it('collects every problem, in the order of the file', () => {
    const text = changed(
      changed(changed(EXAMPLE, 'every: 1d', 'every: x'), 'id: identity', 'id: 7'),
      'then: retry',
      'then: x',
    );
    const problems = world.problems('talbots', text);
    expect(problems.map((problem) => problem.path)).toEqual([
      'partition.every',
      'steps.1.id',
      'steps.1.remedies.0.then',
    ]);
    const error = new PipelineError([problems[0]!, ...problems.slice(1)]);
    expect(error.message).toBe(
      `${world.pipelines}/talbots/pipeline.yaml:3:21 partition.every: expected days, such as 1d or 30d (and 2 more problems)`,
    );
  });

  it.each([
    ['', '1:1: expected a group of keys, found nothing'],
    ['- a\n', '1:1: expected a group of keys, found a list'],
    ['a: !secret x\n', '1:4: not YAML: Unresolved tag: !secret'],
    ['a: *nowhere\n', '1:4: not YAML: nothing above is marked &nowhere'],
    [
      'pipeline: small\n---\npipeline: small\n',
      '2:1: not YAML: Source contains multiple documents; please use YAML.parseAllDocuments()',
    ],
  ])('refuses the whole file %j', (text, expected) => {
    const [problem] = world.problems('small', text);
    expect(`${problem!.line}:${problem!.column}: ${problem!.message}`).toBe(expected);
  });
});

const DEPLOYED = changed(
  changed(SMALL, 'uses: command', 'uses: dagster/job'),
  '{ run: [echo, hello] }',
  `
      mode: graphql
      url: https://dagster.example.com/prod
      headers: { Dagster-Cloud-Api-Token: DAGSTER_CLOUD_API_TOKEN }
      job: crm_ingest`,
);
describe('a job of a Dagster deployment', () => {
  it('needs neither a project nor a virtual environment', () => {
    world.load('small', DEPLOYED);
    const definition = loadPipeline(world.pipelines, 'small', { defaultVenv: '/nowhere' });
    expect(definition.steps[0]!.with).toEqual({
      mode: 'graphql',
      url: 'https://dagster.example.com/prod',
      headers: { 'Dagster-Cloud-Api-Token': 'DAGSTER_CLOUD_API_TOKEN' },
      job: 'crm_ingest',
    });
    expect(renderDeployments(definition)).toEqual([
      { url: 'https://dagster.example.com/prod', headers: { 'Dagster-Cloud-Api-Token': 'DAGSTER_CLOUD_API_TOKEN' } },
    ]);
  });

  it.each([
    'runner: cli',
    'venv: ../../venv',
    'cwd: ..',
    'env: [HOME]',
    'project: ../../warehouse/crm',
    'module: crm',
    'protected: [shop.orders]',
    'protected_targets: []',
  ])('refuses %s', (more) => {
    const message = 'has no place with mode: graphql: the deployment runs the job with what it has itself';
    expect(world.problems('small', `${DEPLOYED}      ${more}\n`)).toMatchObject([
      { line: 11, path: `steps.0.with.${more.split(':')[0]}`, message },
    ]);
  });

  it.each([
    [
      'another mode',
      'mode: graphql',
      'mode: grpc',
      7,
      'mode',
      /^unknown mode "grpc"; expected one of process, graphql$/,
    ],
    ['no address', '      url: https://dagster.example.com/prod\n', '', 7, 'url', /^is missing; expected text$/],
    ['a user in the address', 'https://', 'https://me:secret@', 8, 'url', /without user name/],
    ['an address of another kind', 'https://', 'grpc://', 8, 'url', /expected the address of a dagster-webserver/],
    [
      'an address that a start chooses',
      'dagster.example.com',
      '${vars.host}',
      8,
      'url',
      /cannot say what is run or where/,
    ],
    [
      'a secret in the file',
      'DAGSTER_CLOUD_API_TOKEN',
      'user:abc123',
      9,
      'headers.Dagster-Cloud-Api-Token',
      /never the secret itself$/,
    ],
    [
      'a variable that no log would mask',
      'DAGSTER_CLOUD_API_TOKEN',
      'DAGSTER_AUTH',
      9,
      'headers.Dagster-Cloud-Api-Token',
      /ends in TOKEN/,
    ],
    ['a secret that anyone could read on its way', 'https://', 'http://', 9, 'headers', /unencrypted.*expected https/],
  ])('refuses %s', (_, from, to, line, key, message) => {
    const text = `${changed(DEPLOYED, from, to)}vars: { host: { default: a.example.com, overridable: true } }\n`;
    const [problem, ...others] = world.problems('small', text);
    expect(others).toEqual([]);
    expect(problem).toMatchObject({ line, path: `steps.0.with.${key}`, message: expect.stringMatching(message) });
  });

  it('may send a secret to this machine unencrypted', () => {
    const text = changed(DEPLOYED, 'https://dagster.example.com', 'http://localhost:3000');
    expect(() => world.load('small', text)).not.toThrow();
  });

  it('is what url and headers are for', () => {
    const text = changed(EXAMPLE, 'job: talbots_crm_ingest', 'job: talbots_crm_ingest, url: "http://localhost:3000"');
    expect(world.problems('talbots', text)).toMatchObject([
      { line: 10, path: 'steps.0.with.url', message: 'is for mode: graphql only' },
    ]);
  });
});

describe('what a file refers to must be there', () => {
  it('a fix file', () => {
    const [problem] = world.problems('talbots', changed(EXAMPLE, 'fixes/dedupe.sql', 'fixes/gone.sql'));
    expect(problem).toMatchObject({ line: 18, path: 'steps.0.remedies.0.run.0.with.file' });
    expect(problem!.message).toBe(`there is no file ${world.pipelines}/talbots/fixes/gone.sql`);
  });

  it('a fix file that a link leads out of the folder', () => {
    world.write('outside.sql', 'select 1');
    const link = path.join(world.pipelines, 'talbots/fixes/link.sql');
    symlinkSync(path.join(world.root, 'outside.sql'), link);
    const [problem] = world.problems('talbots', changed(EXAMPLE, 'fixes/dedupe.sql', 'fixes/link.sql'));
    expect(problem!.message).toBe(`expected a file inside the pipeline's folder; ${link} leads out of it`);
  });

  it.each([
    ['project', 'warehouse/crm_dagster', 'warehouse/nothing'],
    ['cwd', 'module: crm_dagster', 'module: crm_dagster, cwd: nothing'],
  ])('the folder of %s', (key, from, to) => {
    const [problem] = world.problems('talbots', changed(EXAMPLE, from, to));
    expect(problem).toMatchObject({ line: 10, path: `steps.0.with.${key}` });
    expect(problem!.message).toMatch(/^there is no folder .*nothing$/);
  });

  it('a folder named by a fixed var', () => {
    const text = changed(EXAMPLE, '../../warehouse/crm,', '"../../warehouse/${vars.client}",');
    expect(world.problems('talbots', text)[0]!.message).toBe(`there is no folder ${world.root}/warehouse/talbots`);
    mkdirSync(path.join(world.root, 'warehouse/talbots'));
    expect(() => world.load('talbots', text)).not.toThrow();
  });

  it('a named virtual environment', () => {
    const [problem] = world.problems(
      'talbots',
      changed(EXAMPLE, 'module: crm_dagster', 'module: crm_dagster, venv: env'),
    );
    expect(problem).toMatchObject({ line: 10, path: 'steps.0.with.venv' });
    expect(problem!.message).toBe(`there is no virtual environment at ${world.pipelines}/talbots/env (no bin/python)`);
  });

  it('the default virtual environment, only where Python runs', () => {
    const bare = new World();
    rmSync(bare.venv, { recursive: true });
    const problems = bare.problems('talbots', EXAMPLE);
    expect(problems.map((problem) => problem.path)).toEqual([
      'steps.0.uses',
      'steps.0.remedies.0.run.1.uses',
      'steps.1.uses',
    ]);
    expect(problems[0]!.message).toMatch(/^needs the default virtual environment: .*make it, or name one as venv$/);
    expect(() => bare.load('small', SMALL)).not.toThrow();
    bare.remove();
  });
});

describe('finding pipelines', () => {
  it('names files as one would type them from here', () => {
    expect(shown(path.resolve('pipelines/talbots/pipeline.yaml'))).toBe('pipelines/talbots/pipeline.yaml');
    expect(shown('/elsewhere/pipeline.yaml')).toBe('/elsewhere/pipeline.yaml');
  });

  it('lists the folders that have a file', () => {
    const some = new World();
    some.write('pipelines/b/pipeline.yaml', '');
    some.write('pipelines/a/pipeline.yaml', '');
    some.write('pipelines/notes.md', 'a plain file is no pipeline');
    expect(listPipelines(some.pipelines)).toEqual(['a', 'b']);
    const load = () => loadPipeline(some.pipelines, 'c', { defaultVenv: some.venv });
    expect(load).toThrow(`${some.pipelines}/c/pipeline.yaml: there is no pipeline "c"; there is a, b`);
    some.remove();
    expect(load).toThrow(
      `${some.pipelines}: there is no such folder; set DAYFILL_PIPELINES to where the pipelines are`,
    );
  });

  it.each(['../x', '/etc', 'a/b', '', '.', 'A', 'a b', 'x~1', 'a'.repeat(64)])('refuses the name %j unseen', (name) => {
    expect(() => loadPipeline('/nonexistent', name, { defaultVenv: '' })).toThrow(
      `${JSON.stringify(name)}: a pipeline is named by lower-case letters`,
    );
  });
});
