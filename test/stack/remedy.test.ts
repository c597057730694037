import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { applyPatch, parsePatch } from 'diff';
import type { SavedRemedy } from '../../src/client/save-remedy.js';
import type { RemedyTest } from '../../src/client/try-remedies.js';
import { ledgerPlace, loadConfig } from '../../src/config.js';
import type { DecisionRecord } from '../../src/contracts/decision.js';
import type { Failure } from '../../src/contracts/failure.js';
import type { LedgerRow } from '../../src/contracts/ledger.js';
import type { StepOutcome } from '../../src/contracts/partition.js';
import { listPipelines, loadPipeline } from '../../src/pipeline/load.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { type Ledger, openLedger } from '../../src/warehouse/ledger.js';
import { CommandLine, writePipeline } from '../support/command-line.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';

const SQL = 'delete from crm.orders where day = @partition and currency = "ZZZ"';
let folder: string;
let pipelines: string;
let emulator: BigQueryEmulator;
let ledger: Ledger;
let cli: CommandLine;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'dayfill-remedy-'));
  pipelines = path.join(folder, 'pipelines');
  mkdirSync(pipelines);
  const { venv } = loadConfig();
  emulator = await startBigQuery(venv, path.join(folder, 'bigquery'));
  // No Temporal: what healed a day is in the ledger.
  const env = {
    PATH: process.env.PATH!,
    DAYFILL_PIPELINES: pipelines,
    DAYFILL_STATE_DIR: path.join(folder, 'state'),
    DAYFILL_VENV: venv,
    DAYFILL_BIGQUERY_ENDPOINT: emulator.address,
  };
  cli = new CommandLine(env);
  const config = loadConfig(env);
  const { project, dataset, location } = ledgerPlace(config);
  ledger = openLedger(bigQueryClients(config)(project), dataset, location);
});
afterAll(async () => {
  await emulator?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A pipeline of its own, with what its step says besides. */
function pipeline(name: string, more = ''): string {
  writePipeline(
    pipelines,
    name,
    `# ours\npipeline: ${name}\npartition: {every: 1d,  start: 2025-07-01}\nsteps:\n  - id: crm   # step\n    uses: command\n    with: { run: ["true"] }\n${more}`,
  );
  return name;
}
const text = (name: string, file = 'pipeline.yaml') => readFileSync(path.join(pipelines, name, file), 'utf8');
const load = (name: string) => loadPipeline(pipelines, name, { defaultVenv: loadConfig().venv });
const sha256 = (sql: string) => createHash('sha256').update(sql).digest('hex');

let failures = 0;
function failure(changes: Partial<Failure> = {}): Failure {
  const tests = changes.tests ?? ['accepted_values_currency'];
  failures += 1;
  return {
    ...{ id: `f-${failures}`, fingerprint: sha256(JSON.stringify([tests, changes.message])).slice(0, 12), step: 'crm' },
    ...{ kind: 'test_failure', message: `Failure in test ${tests.join(', ')}: Got 3 results`, tail: '', log: null },
    ...{ evidence: null, exitCode: 1, tests },
    ...changes,
  };
}

function decided(answered: Failure, changes: Partial<DecisionRecord> = {}): DecisionRecord {
  const sql = changes.sql === undefined ? SQL : changes.sql;
  return {
    ...{ action: 'approve', failure: answered.id, fingerprint: answered.fingerprint, step: answered.step, note: null },
    ...{ decidedBy: 'ann', decidedAt: '2025-07-20T01:02:30.000Z', way: 'person', file: null, sql },
    ...{ sha256: sql === null ? null : sha256(sql), afterwards: sql === null ? null : 'retry' },
    ...changes,
  };
}

/** What a run leaves in the ledger: a row for each failure that waited, each with the attempts it took, and one of the end. */
async function ran(
  name: string,
  partition: string,
  waited: { failure: Failure; attempts: number }[],
  decisions: DecisionRecord[],
  end: { status?: LedgerRow['status']; remedies?: string[] } = {},
): Promise<void> {
  const outcome = (changes: Partial<StepOutcome>): StepOutcome => ({
    ...{ id: 'crm', status: 'waiting', attempts: 1, remedies: [], durationMs: 1, counts: {}, bytesBilled: null },
    ...{ slotMs: null, costUsd: null, jobIds: [], failure: null, log: null, state: null, warnings: [] },
    ...changes,
  });
  const row = (sequence: number, status: LedgerRow['status'], step: StepOutcome): LedgerRow => ({
    ...{ pipeline: name, partition, partitionStart: partition, partitionEnd: partition, status, sequence },
    ...{ workflowId: `${name}/${partition}`, runId: `run-${name}-${partition}`, startedAt: '2025-07-20T01:00:00.000Z' },
    recordedAt: `2025-07-20T01:0${sequence}:00.000Z`,
    sourceAsOf: '2025-07-20T01:00:00.000Z',
    ...{ reason: null, steps: [step], decisions: decisions.slice(0, sequence - 1) },
  });
  const last = waited.at(-1);
  const { status = 'fixed', remedies = [] } = end;
  await ledger.append(
    ...waited.map((one, index) => row(index + 1, 'waiting', outcome(one))),
    row(waited.length + 1, status, outcome({ ...last, attempts: (last?.attempts ?? 0) + 1, status, remedies })),
  );
}

async function refusal(...args: string[]): Promise<[number | undefined, string]> {
  const before = new Map(listPipelines(pipelines).map((name) => [name, files(name)]));
  const { code, stderr } = await cli.run(['remedy', ...args]);
  for (const [name, there] of before) expect(files(name)).toEqual(there);
  return [code, stderr];
}

/** Every file of a pipeline with its text. */
function files(name: string): Record<string, string> {
  const entries = readdirSync(path.join(pipelines, name), { recursive: true, withFileTypes: true });
  const plain = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  return Object.fromEntries(plain.map((file) => [file, readFileSync(file, 'utf8')]));
}

describe('remedy save', () => {
  test('makes a remedy of the proposal that healed a day, shows the diff, and does so once', async () => {
    const name = pipeline('proposal');
    const before = text(name);
    const unknown = failure();
    await ran(name, '2025-07-18', [{ failure: unknown, attempts: 1 }], [decided(unknown)]);

    const dry = await cli.json<SavedRemedy>(['remedy', 'save', name, '2025-07-18', '--dry-run']);
    expect(dry).toMatchObject({ pipeline: name, remedy: 'accepted_values_currency', written: false });
    expect(files(name)).toEqual({ [path.join(pipelines, name, 'pipeline.yaml')]: before });

    const saved = await cli.json<SavedRemedy>(['remedy', 'save', name, '2025-07-18']);
    expect(saved).toEqual({ ...dry, written: true });
    const [yamlDiff, sqlDiff] = parsePatch(saved.diff);
    expect(applyPatch(before, yamlDiff!)).toBe(text(name));
    expect(text(name).startsWith(before)).toBe(true);
    expect([sqlDiff!.oldFileName, applyPatch('', sqlDiff!), text(name, saved.file)]).toEqual(['/dev/null', SQL, SQL]);
    expect(Object.keys(files(name))).toHaveLength(2);
    expect(load(name).steps[0]!.remedies).toMatchObject([
      {
        id: 'accepted_values_currency',
        when: { test: 'accepted_values_currency' },
        run: [{ uses: 'bigquery/query', with: { file: 'fixes/accepted_values_currency.sql' } }],
        then: 'retry',
      },
    ]);

    const [code, said] = await refusal('save', name, '2025-07-18');
    expect([code, said]).toEqual([1, expect.stringContaining('has a remedy for this failure already: accepted_val')]);
  });

  test('uses the file that the fix came from while it says the same, and what the step runs after a fix', async () => {
    const name = pipeline('from-file', '    after_fix: [{ uses: command, with: { run: [echo, "${partition}"] } }]\n');
    const fix = path.join(pipelines, name, 'fixes/drop.sql');
    mkdirSync(path.dirname(fix));
    writeFileSync(fix, SQL);
    const refused = failure({ kind: 'sql_error', tests: [], message: "Bad currency 'ZZZ' on 2025-07-18 (3 rows)" });
    await ran(
      name,
      '2025-07-18',
      [{ failure: refused, attempts: 1 }],
      [decided(refused, { action: 'fix', file: 'fixes/drop.sql' })],
    );
    const dry = await cli.json<SavedRemedy>(['remedy', 'save', name, '2025-07-18', '--id', 'drop', '--dry-run']);
    expect(parsePatch(dry.diff)).toHaveLength(1);

    writeFileSync(fix, `${SQL} -- another`);
    const other = await cli.json<SavedRemedy>(['remedy', 'save', name, '2025-07-18', '--dry-run']);
    expect(other).toMatchObject({ remedy: 'sql-error', file: 'fixes/sql-error.sql' });
    const [code, said] = await refusal('save', name, '2025-07-18', '--id', 'drop');
    expect([code, said]).toEqual([1, expect.stringContaining('is there with other SQL')]);

    writeFileSync(fix, SQL);
    expect(await cli.json(['remedy', 'save', name, '2025-07-18', '--id', 'drop'])).toEqual({ ...dry, written: true });
    const [remedy] = load(name).steps[0]!.remedies;
    expect(remedy).toMatchObject({ id: 'drop', then: 'continue', when: { kind: 'sql_error' } });
    expect(remedy!.run.map(({ with: given }) => given.file ?? given.run)).toEqual([
      'fixes/drop.sql',
      ['echo', '${partition}'],
    ]);
    expect(new RegExp(remedy!.when.error!).test("Bad currency 'Q' on 2025-08-02 (17 rows)")).toBe(true);
  });

  test('takes the failure of the step, not that of a first fix that was no good', async () => {
    const name = pipeline('second-fix');
    const unknown = failure();
    const ofTheFix = failure({ kind: 'sql_error', tests: [], message: 'Unrecognized name: curency' });
    await ran(
      name,
      '2025-07-18',
      [
        { failure: unknown, attempts: 1 },
        { failure: ofTheFix, attempts: 1 },
      ],
      [decided(unknown, { sql: 'delete curency' }), decided(ofTheFix, { afterwards: 'continue' })],
    );
    const { file } = await cli.json<SavedRemedy>(['remedy', 'save', name, '2025-07-18']);
    expect(text(name, file)).toBe(SQL);
    expect(load(name).steps[0]!.remedies).toMatchObject([
      { when: { test: 'accepted_values_currency' }, then: 'continue' },
    ]);
  });

  test('two at once both end up in the file', async () => {
    const name = pipeline('at-once');
    const days = ['2025-07-18', '2025-07-19', '2025-07-20'];
    for (const [index, day] of days.entries()) {
      const one = failure({ tests: [`test_${index}`] });
      await ran(name, day, [{ failure: one, attempts: 1 }], [decided(one)]);
    }
    const outcomes = await Promise.all(days.map((day) => cli.run(['remedy', 'save', name, day])));
    expect(outcomes.map(({ code, stderr }) => [code, stderr.split(':')[0]])).toEqual(days.map(() => [0, 'Saved']));
    const ids = load(name).steps[0]!.remedies.map(({ id }) => id);
    expect(ids.sort()).toEqual(['test_0', 'test_1', 'test_2']);
    expect(Object.keys(files(name))).toHaveLength(4);
  });

  test('refuses what is nothing to save, and says what healed the day', async () => {
    const name = pipeline(
      'refusals',
      '    remedies: &none []\n  - { id: b, uses: command, with: { run: [a] }, remedies: *none }\n',
    );
    const one = failure();
    const other = failure({ tests: [], kind: 'timeout', message: 'ran past 2h' });
    const retried = decided(one, { action: 'retry', sql: null });
    await ran(name, '2025-07-10', [{ failure: one, attempts: 1 }], [retried], { remedies: ['dedupe'] });
    await ran(name, '2025-07-11', [{ failure: one, attempts: 1 }], [decided(one)], { status: 'skipped' });
    const again = failure({ id: 'again' });
    const both = [
      { failure: one, attempts: 1 },
      { failure: again, attempts: 2 },
    ];
    await ran(name, '2025-07-12', both, [decided(one), { ...retried, failure: 'again' }]);
    await ran(name, '2025-07-13', [{ failure: other, attempts: 1 }], [decided(other)]);
    for (const [args, code, sentence] of [
      [['2025-07-09'], 1, 'The ledger has no row of 2025-07-09'],
      [['2025-07-10'], 1, 'was not healed by SQL but by the remedy dedupe and the decision retry'],
      [['2025-07-11'], 1, 'is skipped, not fixed'],
      [['2025-07-12'], 1, 'was not healed by SQL but by the decision approve and the decision retry'],
      [['2025-07-13'], 1, 'an alias shares its remedies'],
      [['2025-07-13', '--id', 'No Id'], 2, '"No Id" cannot be an id'],
      [['2024-01-01'], 2, '2024-01-01'],
      [[], 2, 'missing required argument'],
    ] as const) {
      const [ended, said] = await refusal('save', name, ...args);
      expect([ended, said, said.trim().split('\n')]).toEqual([
        code,
        expect.stringContaining(sentence),
        [expect.any(String)],
      ]);
    }
  });
});

test('remedy test tells what each remedy would have matched, alone or with others, and what none would', async () => {
  const remedy = (id: string, when: string) =>
    `      - { id: ${id}, when: ${when}, run: [{ uses: command, with: { run: [x] } }], then: retry }\n`;
  const name = pipeline(
    'tested',
    `    remedies:\n${remedy('first', '{ test: a* }')}${remedy('second', '{ test: b }')}${remedy('idle', '{ kind: timeout }')}`,
  );
  const [a, ab, c1, c2] = [
    failure({ tests: ['a1'] }),
    failure({ tests: ['a1', 'b'] }),
    failure({ tests: ['a1', 'c'] }),
    failure({ tests: ['a1', 'c'] }),
  ] as const;
  await ran(name, '2025-07-10', [{ failure: a, attempts: 1 }], [decided(a)]);
  await ran(name, '2025-07-11', [{ failure: ab, attempts: 1 }], [], { status: 'failed' });
  await ran(name, '2025-07-12', [{ failure: c1, attempts: 1 }], [decided(c1)]);
  await ran(name, '2025-07-13', [{ failure: c2, attempts: 1 }], [decided(c2)]);

  const result = await cli.json<RemedyTest>(['remedy', 'test', name]);
  const past = (partition: string, { id, fingerprint, tests, message }: Failure) => {
    return { partition, failure: id, fingerprint, tests, message };
  };
  const { fingerprint, tests, message } = c1;
  expect(result).toEqual({
    pipeline: name,
    remedies: [
      { step: 'crm', remedy: 'first', matched: [past('2025-07-10', a), past('2025-07-11', ab)] },
      { step: 'crm', remedy: 'second', matched: [past('2025-07-11', ab)] },
      { step: 'crm', remedy: 'idle', matched: [] },
    ],
    unmatched: [{ fingerprint, step: 'crm', tests, message, partitions: ['2025-07-12', '2025-07-13'] }],
  });
  const { code, stdout } = await cli.run(['remedy', 'test', name]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/first +│ 2 +│ 2025-07-10, 2025-07-11/);
  expect(stdout).toMatch(new RegExp(`${fingerprint} │ crm +│ a1, c +│ 2025-07-12, 2025-07-13`));
});
