import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execa } from 'execa';
import { type Dayfill, openDayfill } from '../../src/client/open.js';
import type { LedgerRow } from '../../src/contracts/ledger.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { CommandLine, type Outcome, writePipeline } from '../support/command-line.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import { until } from './fixtures/processes.js';

let folder: string;
let stack: TestStack;
let dayfill: Dayfill;
let cli: CommandLine;

/** What a shell would have done with what was typed. */
const pwned = () => path.join(folder, 'pwned');
const gate = () => path.join(folder, 'gate');

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'dayfill-cli-'));
  const pipelines = path.join(folder, 'pipelines');
  writePipeline(pipelines, 'good', GOOD);
  writePipeline(pipelines, 'chunks', 'pipeline: chunks\npartition: { every: 10d, start: 2025-01-01 }\n' + STEPS);
  writePipeline(pipelines, 'gated', 'pipeline: gated\npartition: { every: 1d, start: 2025-07-01 }\n' + gatedSteps());
  writePipeline(pipelines, 'no-yaml', 'pipeline: [');
  writePipeline(pipelines, 'odd-kind', oneStep('odd-kind', '{ id: a, uses: shell/script, with: { run: [a] } }'));
  writePipeline(pipelines, 'no-fix', oneStep('no-fix', '{ id: a, uses: bigquery/query, with: { file: fixes/x.sql } }'));
  writePipeline(
    pipelines,
    'no-venv',
    oneStep('no-venv', '{ id: a, uses: command, with: { run: [a], venv: no-such-venv } }'),
  );
  stack = await startTestStack({ services: ['temporal', 'bigquery', 'worker'], env: { DAYFILL_PIPELINES: pipelines } });
  cli = new CommandLine(stack.env);
  dayfill = await openDayfill(stack.config());
});
afterAll(async () => {
  await dayfill?.close();
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const STEPS = 'steps:\n  - { id: one, uses: command, with: { run: ["true"] } }\n';
const GOOD = `pipeline: good
partition: { every: 1d, start: 2025-07-01 }
vars:
  client: { default: talbots, overridable: true }
  place: US
steps:
  - { id: one, uses: command, with: { run: ["true", "\${vars.client}"] } }
  - { id: two, uses: command, with: { run: [echo, "\${partition}"] } }
`;

/** The second step fails until the gate is there. */
function gatedSteps(): string {
  return `${STEPS}  - { id: gate, uses: command, with: { run: [test, -e, ${gate()}] } }\n`;
}

function oneStep(name: string, step: string): string {
  return `pipeline: ${name}\npartition: { every: 1d, start: 2025-07-01 }\nsteps:\n  - ${step}\n`;
}

/** One sentence on stderr that does not look like a program's innards; nothing on stdout. */
function expectRefusal({ code, stdout, stderr }: Outcome, exitCode: number, sentence: RegExp): void {
  expect(stderr).toMatch(sentence);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).toMatch(/^dayfill: /);
  expect(stderr).not.toMatch(/\n\s+at |Error:|undefined|\[object|DAYFILL_LOG_LEVEL/);
  expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
}

async function workflowCount(): Promise<number> {
  return (await dayfill.temporal.workflow.count()).count;
}

describe('bad input is refused in one sentence', () => {
  const days = ['--from', '2025-07-01', '--to', '2025-07-02'];
  const shell = '$(touch pwned); `touch pwned`';
  const cases: [string[], RegExp][] = [
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['run'], /missing required argument 'pipeline'/],
    [['run', 'good', ...days, '--bogus'], /unknown option '--bogus'.*dayfill run --help/],
    [['run', 'good'], /--from and --to, or --partitions/],
    [['run', 'good', '--from', '2025-07-01'], /--from and --to, or --partitions/],
    [['run', 'good', ...days, '--partitions', '2025-07-01'], /--from and --to, or --partitions/],
    [['run', 'good', '--missing', '--partitions', '2025-07-01'], /leave out --partitions/],
    [['run', 'good', '--stale'], /good has no freshness: query/],
    [['run', 'good', '--partitions', ''], /expected keys separated by commas/],
    [['run', 'good', '--from', '2025-07-05', '--to', '2025-07-01'], /swap them/],
    [['run', 'good', '--from', '2025-02-30', '--to', '2025-03-01'], /2025-02-30 is not a date that exists/],
    [['run', 'good', '--from', '2024-01-01', '--to', '2025-07-01'], /begins on 2025-07-01/],
    [['run', 'good', '--from', '2025-07-01', '--to', '9999-12-31'], /at most 10000/],
    [['run', 'good', '--from', shell, '--to', '2025-07-01'], /is not a date/],
    [['run', 'good', '--partitions', shell], /is not a partition of good/],
    [['run', 'chunks', '--from', '2025-01-02', '--to', '2025-01-20'], /cuts the chunk 2025-01-01\.\.2025-01-10/],
    [['run', 'chunks', '--partitions', '2025-01-02'], /did you mean 2025-01-01\.\.2025-01-10/],
    [['run', 'good', ...days, '--exclude', '2025-07-09'], /not among the partitions asked for/],
    [['run', 'good', ...days, '--concurrency', '2'], /parallel_safe: true/],
    [['run', 'good', ...days, '--concurrency', '0'], /whole number from 1 to 100/],
    [['run', 'good', ...days, '--on-failure', 'park'], /parallel_safe: true/],
    [['run', 'good', ...days, '--order', 'sideways'], /allowed choices are asc, desc/],
    [['run', 'good', ...days, '--from-step', 'three'], /no step "three"; expected one of one, two/],
    [['run', 'good', ...days, '--from-step', 'two'], /its step one never ran/],
    [['run', 'good', ...days, '--var', 'place=EU'], /fixed; mark it overridable/],
    [['run', 'good', ...days, '--var', 'city=Rome'], /no var city/],
    [['run', 'good', ...days, '--var', shell], /expected name=value/],
    [['run', 'nowhere', ...days], /no pipeline "nowhere"; there is chunks, gated, good/],
    [['run', '../good', ...days], /a pipeline is named by/],
    [['run', shell, ...days], /a pipeline is named by/],
    [['run', 'no-yaml', ...days], /pipeline\.yaml:\d+:\d+: not YAML/],
    [['run', 'odd-kind', ...days], /unknown step kind "shell\/script"/],
    [['run', 'no-fix', ...days], /no file .*fixes\/x\.sql/],
    [['run', 'no-venv', ...days], /no virtual environment/],
    [['add', 'good', '--partitions', '2025-02-30'], /2025-02-30 is not a date that exists/],
    [['mark', 'good', ...days, '--as', 'failed', '--reason', 'x'], /allowed choices are succeeded, skipped/],
    [['mark', 'good', ...days, '--as', 'skipped', '--reason', ' '], /Say why/],
    [['show', 'good', '../..'], /is not a partition of good/],
    [['status', 'good~" OR "1"="1'], /is not the name of a pipeline/],
    [['ledger', 'good', '--from', "'"], /is not a date/],
    [['resolve', 'good', '2025-07-01', 'frobnicate'], /use retry, fix, approve, reject, skip-step, skip, abort/],
    [['resolve', 'good', '2025-07-01', 'fix', 'fixes/x.sql'], /no SQL file fixes\/x\.sql in fixes\/ of good/],
    [['cancel', 'good', '--now', '--drain'], /cannot be used with/],
    [['pause', 'nowhere'], /no pipeline "nowhere"/],
  ];

  test('whatever is wrong, and nothing is left behind', async () => {
    const before = await workflowCount();
    await inParallel(cases, async ([args, sentence]) => expectRefusal(await cli.run(args), 2, sentence));
    expect(await workflowCount()).toBe(before);
    const [datasets] = await bigQueryClients(stack.config())('dayfill-local').getDatasets();
    expect(datasets).toEqual([]);
    expect(existsSync(pwned()) || existsSync('pwned')).toBe(false);
  });

  test('before any server is asked', async () => {
    const nothing = { TEMPORAL_ADDRESS: '127.0.0.1:1', DAYFILL_BIGQUERY_ENDPOINT: 'http://127.0.0.1:1' };
    const outcome = await cli.run(['run', 'good', '--from', '2025-02-30', '--to', '2025-03-01'], nothing);
    expectRefusal(outcome, 2, /2025-02-30 is not a date that exists/);
  });

  test('in settings too', async () => {
    const status = (env: Record<string, string>) => cli.run(['status'], env);
    const outcomes = await Promise.all([
      status({ DAYFILL_MAX_STEPS: 'many' }),
      status({ DAYFILL_PIPELINES: path.join(folder, 'nowhere') }),
    ]);
    expectRefusal(outcomes[0], 2, /DAYFILL_MAX_STEPS is not usable: expected a whole number/);
    expectRefusal(outcomes[1], 2, /there is no such folder; set DAYFILL_PIPELINES/);
  });
});

describe('what stands in the way', () => {
  test('is said in one sentence with what to do', async () => {
    const days = ['--from', '2025-07-01', '--to', '2025-07-02'];
    const [temporal, warehouse, namespace, idle] = await Promise.all([
      cli.run(['run', 'good', ...days], { TEMPORAL_ADDRESS: '127.0.0.1:1' }),
      cli.run(['run', 'good', ...days], { DAYFILL_BIGQUERY_ENDPOINT: 'http://127.0.0.1:1' }),
      cli.run(['status', 'good'], { TEMPORAL_NAMESPACE: 'nowhere' }),
      cli.run(['pause', 'good']),
    ]);
    expectRefusal(temporal, 1, /Temporal does not answer at 127\.0\.0\.1:1: start the stack/);
    expectRefusal(warehouse, 1, /warehouse does not answer at http:\/\/127\.0\.0\.1:1: start the stack/);
    expectRefusal(namespace, 1, /no namespace "nowhere": create it/);
    expectRefusal(idle, 1, /No backfill of good is running/);
  });

  test('doctor names each thing', async () => {
    const empty = path.join(folder, 'empty');
    mkdirSync(empty, { recursive: true });
    const wrong = {
      TEMPORAL_ADDRESS: '127.0.0.1:1',
      DAYFILL_BIGQUERY_ENDPOINT: 'http://127.0.0.1:1',
      DAYFILL_VENV: empty,
    };
    const { code, stdout } = await cli.run(['doctor', '--json'], wrong);
    const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: { name: string; ok: boolean }[] };
    expect({ code, ok }).toEqual({ code: 1, ok: false });
    const bad = checks.filter((check) => !check.ok).map(({ name }) => name);
    expect(bad).toEqual(expect.arrayContaining(['python', 'temporal', 'bigquery', 'ledger', 'pipeline no-yaml']));
    expect(checks.find(({ name }) => name === 'pipeline good')?.ok).toBe(true);
  });
});

describe('a backfill', () => {
  interface Status {
    state: string;
    total: number;
    counts: Record<string, number>;
    current: string[];
    partitions: { partition: string; status: string; step: string | null; failure: { id: string } | null }[];
  }
  const days = ['--from', '2025-07-01', '--to', '2025-07-03'];

  test('is planned without a trace', async () => {
    const plan = await cli.json<unknown>(['run', 'good', '--partitions', '2025-07-02,2025-07-01,2025-07-02', '--plan']);
    const estimate = { bytes: null, costUsd: null, unknown: expect.any(Array) };
    const line = (partition: string) => ({ partition, action: 'run', reason: 'never run', estimate });
    expect(plan).toEqual({ pipeline: 'good', partitions: [line('2025-07-01'), line('2025-07-02')], estimate });
    expect((await cli.json<Status>(['status', 'good'])).total).toBe(0);
  });

  test('says each day as it ends, the last one too', async () => {
    const { code, stdout } = await cli.run(['run', 'good', ...days, '--reason', '$(touch pwned); `touch pwned`']);
    expect(code).toBe(0);
    for (const day of ['2025-07-01', '2025-07-02', '2025-07-03']) {
      expect(stdout).toContain(`date ${day} ingestion all done (succeeded)`);
    }
    const { rows } = await cli.json<{ rows: LedgerRow[] }>(['ledger', 'good']);
    expect(rows.map(({ partition, reason }) => [partition, reason])).toEqual(
      ['2025-07-01', '2025-07-02', '2025-07-03'].map((day) => [day, '$(touch pwned); `touch pwned`']),
    );
    expect(existsSync(pwned()) || existsSync('pwned')).toBe(false);
  });

  test('runs nothing twice, and prints its status as one document', async () => {
    const status = await cli.json<Status>(['run', 'good', ...days]);
    expect(Object.keys(status)).toEqual([
      ...['pipeline', 'state', 'total', 'counts', 'current', 'spentUsd', 'budgetUsd', 'partitions'],
    ]);
    expect(status.counts).toEqual({
      succeeded: 3,
      ...{ fixed: 0, skipped: 0, failed: 0, waiting: 0, running: 0, pending: 0 },
    });
    expect((await cli.json<{ rows: unknown[] }>(['ledger', 'good'])).rows).toHaveLength(3);
  });

  test('a var changes the variant, not what a shell would make of it', async () => {
    const { code } = await cli.run(['run', 'good', '--partitions', '2025-07-01', '--var', 'client=$(touch pwned)']);
    expect(code).toBe(0);
    expect((await cli.json<Status>(['status', 'good'])).total).toBe(3);
    expect(existsSync(pwned()) || existsSync('pwned')).toBe(false);
  });

  test('that waits ends the following with 3, and can be looked at, answered and told apart', async () => {
    const { code, stdout } = await cli.run(['run', 'gated', ...days]);
    expect(code).toBe(3);
    expect(stdout).toContain('2025-07-01 waiting at gate: test ended with exit code 1.');

    const [again, status, shown, stale] = await Promise.all([
      cli.run(['run', 'gated', '--partitions', '2025-07-09']),
      cli.json<Status>(['status', 'gated']),
      cli.json<{ steps: object[] }>(['show', 'gated', '2025-07-01']),
      cli.run(['resolve', 'gated', '2025-07-01', 'retry', '--failure', 'another']),
    ]);
    expectRefusal(again, 1, /is running since .*dayfill add gated --partitions 2025-07-09/);
    expectRefusal(stale, 1, /answers failure "another"/);
    expect(status).toMatchObject({ state: 'waiting', current: ['2025-07-01'], counts: { waiting: 1, pending: 2 } });
    expect(Object.keys(status.partitions[0]!.failure!)).toEqual([
      ...['id', 'fingerprint', 'kind', 'tests', 'message', 'log'],
    ]);
    expect(Object.keys(shown)).toEqual([
      ...['pipeline', 'partition', 'status', 'steps', 'proposal', 'advising', 'decidesAt', 'decisions'],
    ]);
    for (const step of shown.steps) {
      expect(Object.keys(step)).toEqual([
        ...['id', 'status', 'attempts', 'remedies', 'durationMs', 'bytesBilled', 'slotMs', 'costUsd', 'warnings'],
        ...['failure', 'log'],
      ]);
    }
  });

  test('can be paused, added to, looked at while its file is broken, and cancelled', async () => {
    expect((await cli.run(['pause', 'gated'])).code).toBe(0);
    const receipt = await cli.json<object>(['add', 'gated', '--partitions', '2025-07-03,2025-07-04']);
    expect(receipt).toMatchObject({ added: ['2025-07-04'], skipped: [{ partition: '2025-07-03' }] });
    const pipelines = path.join(folder, 'pipelines');
    writePipeline(pipelines, 'gated', 'pipeline: [');
    try {
      expect(await cli.json<Status>(['status', 'gated'])).toMatchObject({ counts: { waiting: 1, pending: 3 } });
      expect((await cli.run(['cancel', 'gated', '--now'])).code).toBe(0);
      await until(
        'the end of the backfill',
        async () => (await cli.json<Status>(['status', 'gated'])).state === 'idle',
      );
    } finally {
      writePipeline(
        pipelines,
        'gated',
        'pipeline: gated\npartition: { every: 1d, start: 2025-07-01 }\n' + gatedSteps(),
      );
    }
    expect(await cli.json<Status>(['status', 'gated'])).toMatchObject({ counts: { failed: 1 }, current: [] });
  });

  test('goes on when Ctrl-C ends the following', async () => {
    const following = cli.start(['run', 'gated', '--partitions', '2025-07-11', '--no-until-waiting']);
    let said = '';
    following.stdout!.on('data', (data) => {
      said += data;
    });
    await until('that it waits', () => said.includes('2025-07-11 waiting'));
    following.kill('SIGINT');
    const { exitCode, stderr } = await following;
    expect(exitCode).toBe(130);
    expect(stderr).toContain('gated goes on. Follow it with: dayfill status gated --watch');
    expect(await cli.json<Status>(['status', 'gated'])).toMatchObject({ state: 'waiting', current: ['2025-07-11'] });
    writeFileSync(gate(), '');
    const answer = ['resolve', 'gated', '2025-07-11', 'retry', '--by', 'x; touch pwned', '--note', '$(touch pwned)'];
    expect(await cli.json<object>(answer)).toMatchObject({ accepted: true, action: 'retry' });
    const watched = await cli.run(['status', 'gated', '--watch']);
    expect(watched.stdout).toContain('gated is idle');
    const shown = await cli.json<object>(['show', 'gated', '2025-07-11']);
    expect(shown).toMatchObject({ status: 'fixed' });
    expect(existsSync(pwned()) || existsSync('pwned')).toBe(false);
  });

  test('a reader that has seen enough ends the following, not the backfill', async () => {
    const following = cli.start(['run', 'good', '--from', '2025-08-01', '--to', '2025-08-03']);
    following.stdout!.once('data', () => following.stdout!.destroy());
    const { exitCode, stderr } = await following;
    expect({ exitCode, stderr }).toEqual({ exitCode: 141, stderr: '' });
    await until('the backfill', async () => (await cli.json<Status>(['status', 'good'])).counts.succeeded === 6);
  });

  test('marks days that were done before', async () => {
    const marked = await cli.run([
      'mark',
      'good',
      '--from',
      '2025-09-01',
      '--to',
      '2025-09-03',
      '--as',
      'succeeded',
      '--reason',
      'by hand',
    ]);
    expect(marked.stdout).toBe('3 partitions marked succeeded.');
    const { stdout } = await cli.run(['run', 'good', '--from', '2025-09-01', '--to', '2025-09-03', '--plan']);
    expect(stdout).toContain('0 of 3 partitions would run');
  });
});

describe('help', () => {
  test('a command loads what it needs only', async () => {
    const program = `
      import { createRequire } from 'node:module';
      import { main } from ${JSON.stringify(path.resolve('dist/cli/main.js'))};
      await main(['node', 'dayfill', process.argv[1], '--help']);
      const packages = Object.keys(createRequire(import.meta.url).cache).join();
      console.error(['@temporalio/client', '@google-cloud/bigquery', '@google-cloud/storage'].filter((name) => packages.includes(name)).join());`;
    const loadedBy = async (command: string) =>
      (await execa(process.execPath, ['--input-type=module', '--eval', program, command])).stderr;
    expect(await loadedBy('validate')).toBe('');
    expect(await loadedBy('run')).toBe('@temporalio/client,@google-cloud/bigquery');
    expect(await loadedBy('verify')).toContain('@google-cloud/storage');
  });

  test('every command has a text with an example', async () => {
    const { stdout } = await cli.run(['--help']);
    const names = [...stdout.matchAll(/^ {2}([a-z][a-z-]+) .*$/gm)].map(([, name]) => name!);
    expect(names).toEqual(expect.arrayContaining(['run', 'status', 'resolve', 'doctor', 'worker', 'compile-models']));
    const shipped = names.filter((name) => !['help', 'dayfill'].includes(name));
    await inParallel([...new Set(shipped)], async (name) => {
      const help = await cli.run(['help', name]);
      expect({ name, code: help.code, stdout: help.stdout }).toEqual({
        ...{ name, code: 0 },
        stdout: expect.stringMatching(/Examples?:/),
      });
      expect((await cli.run([name, '--help'])).stdout).toBe(help.stdout);
    });
  });

  test('--version is that of the package', async () => {
    expect(await cli.run(['--version'])).toMatchObject({ code: 0, stdout: '0.1.0' });
  });
});

/** Last, because it takes the worker away. */
describe('without a worker', () => {
  test('what is known is shown, and that none answers is said', async () => {
    rmSync(gate());
    expect((await cli.run(['run', 'gated', '--partitions', '2025-07-21'])).code).toBe(3);
    process.kill(await stack.pid('worker'), 'SIGKILL');

    const { stdout, stderr } = await cli.run(['status', 'gated', '--json']);
    expect(stderr).toContain('No worker answers');
    const status = JSON.parse(stdout) as { state: string; partitions: unknown[] };
    expect(status.state).toBe('waiting');
    expect(status.partitions).toContainEqual(
      expect.objectContaining({ partition: '2025-07-21', status: 'waiting', step: 'gate' }),
    );

    const shown = await cli.run(['show', 'gated', '2025-07-21']);
    expect(shown.stderr).toContain('No worker answers');
    expect(shown.stdout).toContain('gated 2025-07-21: waiting');
    expectRefusal(await cli.run(['resolve', 'gated', '2025-07-21', 'retry']), 1, /No worker answers/);

    const following = cli.start(['run', 'good', '--partitions', '2025-07-30']);
    let said = '';
    following.stdout!.on('data', (data) => {
      said += data;
    });
    await until('what is wrong', () => said.includes('No worker answers'));
    await stack.up(['temporal', 'bigquery', 'worker']);
    expect((await following).exitCode).toBe(0);
  });
});

/** A few at a time: each is a process. */
async function inParallel<T>(items: T[], work: (item: T) => Promise<void>, width = 3): Promise<void> {
  const queue = [...items];
  const workers = Array.from({ length: width }, async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  });
  await Promise.all(workers);
}
