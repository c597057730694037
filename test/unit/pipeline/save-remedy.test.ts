// biome-ignore-all lint/suspicious/noThenProperty: the word of the pipeline file; not a function, so no promise
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import type { FailureKind, StepFailure } from '../../../src/contracts/failure.js';
import { regexProblem } from '../../../src/pipeline/regex.js';
import { conditionOf, remedyIdFor } from '../../../src/pipeline/remedy-condition.js';
import { type NewRemedy, withRemedy } from '../../../src/pipeline/save-remedy.js';

const REMEDY: NewRemedy = {
  id: 'move-unknown',
  when: { test: 'accepted_currency' },
  file: 'fixes/move-unknown.sql',
  withAfterFix: false,
  then: 'retry',
};
const FLOW =
  '{ id: move-unknown, when: { test: accepted_currency }, run: [ { uses: bigquery/query, with: { file: fixes/move-unknown.sql } } ], then: retry }';

const HEAD = `# odd:   spacing, "quotes" and\ttabs stay\npipeline:   'small'\npartition: {every: 1d,   start: 2025-07-01}\n`;
/** As a list item of `remedies`, its dash at a column. */
const item = (indent: number) =>
  [
    '- id: move-unknown',
    '  when: { test: accepted_currency }',
    '  run:',
    '    - uses: bigquery/query',
    '      with: { file: fixes/move-unknown.sql }',
    '  then: retry',
  ]
    .map((line) => ' '.repeat(indent) + line)
    .join('\n');
const AFTER = `  # between the steps\n\n  - id: next\n    uses: command\n    with: { run: [echo] }\n`;

/** What stands where the remedy goes is marked by `§`. */
function added(marked: string, remedy = REMEDY, step = 'say'): { text: string; more: string } {
  const [before = '', after = ''] = marked.split('§');
  const text = withRemedy(before + after, step, remedy);
  if (text === null) throw new Error('nothing was added');
  // Every other byte is as it was.
  expect(text.startsWith(before) && text.endsWith(after)).toBe(true);
  expect(parse(text).steps).toHaveLength(parse(before + after).steps.length);
  return { text, more: text.slice(before.length, text.length - after.length) };
}

describe('a remedy is added, and every other byte stays', () => {
  it.each([
    [
      'to a block list, comments below it stay below',
      `steps:\n  - id: say\n    uses: command\n    remedies:\n      - id: old # why\n        when: {test: "a*"}\n        run: [{uses: command, with: {run: [x]}}]\n        then: retry   # again\n§      # - id: gone\n${AFTER}`,
      `${item(6)}\n`,
    ],
    [
      'to a block list that is not indented',
      `steps:\n- id: say\n  remedies:\n  - id: old\n    then: retry\n§  uses: command\n`,
      `${item(2).replace(/^ {6}(?= *(?:- uses| {2}with))/gm, '    ')}\n`,
    ],
    [
      'as the first one, behind everything else of the step',
      `steps:\n  - id: say\n    uses: command\n    with:\n      run: [echo,\n        hello] # twice\n§${AFTER}`,
      `    remedies:\n${item(6)}\n`,
    ],
    [
      'behind a block of text with blank lines at its end',
      `steps:\n  - id: say\n    with:\n      note: |+\n        one\n\n§${AFTER}`,
      `    remedies:\n${item(6)}\n`,
    ],
    [
      'to a file without a newline at its end',
      `steps:\n  - id: say\n    uses: command§`,
      `\n    remedies:\n${item(6)}`,
    ],
    [
      'to a file with Windows line ends',
      `steps:\r\n  - id: say\r\n    uses: command # tab\there\r\n§\r\n# end\r\n`,
      `    remedies:\n${item(6)}\n`.replaceAll('\n', '\r\n'),
    ],
    ['to a flow list', `steps:\n  - id: say\n    remedies: [ {id: old, then: retry}§, ] # one\n`, `, ${FLOW}`],
    ['to a step in flow style', `steps: [{id: say, uses: command§}, {id: b}]\n`, `, remedies: [${FLOW}]`],
    ['to an empty list with a comment in it', `steps:\n  - id: say\n    remedies: [§ # none\n      ]\n`, FLOW],
  ])('%s', (_, marked, more) => {
    expect(added(HEAD + marked).more).toBe(more);
  });

  it('in place of an empty list', () => {
    const before = `${HEAD}steps:\n  - id: say\n    remedies: []   # none yet\n    uses: command\n`;
    const after = withRemedy(before, 'say', REMEDY);
    expect(after).toBe(before.replace(': []   # none yet\n', `:   # none yet\n${item(6)}\n`));
  });

  it('behind a byte-order mark', () => {
    expect(added(`\uFEFFpipeline: small\nsteps:\n  - id: say\n    uses: command\n§`).more).toBe(
      `    remedies:\n${item(6)}\n`,
    );
  });

  it('where another step shares what is not touched, and not where they share the list', () => {
    const shared = `steps:\n  - id: say\n    with: &w { run: [echo] }\n    remedies: &r\n      - id: old\n        then: retry\n  - id: next\n    with: *w\n    remedies: *r\n`;
    expect(withRemedy(shared, 'say', REMEDY)).toBeNull();
    expect(withRemedy(shared, 'next', REMEDY)).toBeNull();
    expect(added(shared.replace('\n    remedies: *r\n', '\n§'), REMEDY, 'next').more).toBe(
      `    remedies:\n${item(6)}\n`,
    );
  });

  it.each([
    ['an alias to what stands above kept', ''],
    ['an alias to what stands below filled in', '    remedies: []\n'],
  ])('with what the step runs after a fix, %s', (_, remedies) => {
    const file = `steps:\n  - id: say\n${remedies}    vars: &v { day: "\${partition}" }\n    after_fix:\n      # the build alone\n      - &build\n        uses: dbt/build # no load\n        with: { project: '../x', vars: *v }\n      - uses: command\n        with: { run: [echo, "1.10"] } # said\n`;
    const text = withRemedy(file, 'say', { ...REMEDY, withAfterFix: true, then: 'continue' })!;
    const [added] = text.split('- id: move-unknown')[1]!.split('then: continue');
    expect(added).not.toContain('&build');
    expect(added!.includes('*v')).toBe(remedies === '');
    expect(added!.includes("project: '../x'")).toBe(remedies === '');
    expect(added!.includes('with: { run: [ echo, "1.10" ] } # said')).toBe(remedies === '');
    expect(parse(text).steps[0].remedies).toEqual([
      {
        id: 'move-unknown',
        when: { test: 'accepted_currency' },
        run: [{ uses: 'bigquery/query', with: { file: 'fixes/move-unknown.sql' } }, ...parse(file).steps[0].after_fix],
        then: 'continue',
      },
    ]);
  });

  it('with a condition that YAML would read otherwise', () => {
    const when = { kind: 'sql_error', error: `^it's: #1 {a} "b" \\d+: \\[x\\]$` };
    const { text } = added('steps:\n  - id: say\n    uses: command\n§', { ...REMEDY, when });
    expect(parse(text).steps[0].remedies[0].when).toEqual(when);
  });
});

function failure(kind: FailureKind, message: string, tests: string[] = [], exitCode: number | null = 1): StepFailure {
  return { kind, tests, message, tail: '', log: null, evidence: null, exitCode };
}

/** Whether the condition made of one failure fits the message of another. */
function fits(of: StepFailure, message: string): boolean {
  const condition = conditionOf(of);
  if (condition === null || 'test' in condition) throw new Error('no error pattern');
  expect(regexProblem(condition.error)).toBeNull();
  return new RegExp(condition.error).test(message);
}

describe('what a failure is told by', () => {
  it('one failing test: its name', () => {
    expect(conditionOf(failure('test_failure', 'Failure in test a_b: 3 rows', ['a_b']))).toEqual({ test: 'a_b' });
  });

  it('no test: its kind and message, whatever the day, and the exit code of a command', () => {
    const refused = failure('sql_error', "Bad value 'x' (1.5 of 7) on 2025-07-16: a.b[3]?\n  at [7:3]");
    expect(conditionOf(refused)).toMatchObject({ kind: 'sql_error' });
    expect(fits(refused, refused.message)).toBe(true);
    expect(fits(refused, "Bad value 'yy' (20 of 31) on 2025-08-01: a.b[12]?\n  at [8:13]")).toBe(true);
    expect(fits(refused, "Bad value 'x' (1.5 of 7) on 2025-07-16: aXb[3]?\n  at [7:3]")).toBe(false);
    expect(fits(refused, `${refused.message} and more`)).toBe(false);
    expect(conditionOf(failure('exit_code', 'ended with 3', [], 3))).toMatchObject({ exit_code: 3 });
  });

  it('a long message: as much of its beginning as a pattern may have', () => {
    const long = failure('step_error', `no such thing (${'very '.repeat(200)}long)`);
    expect(fits(long, long.message)).toBe(true);
    expect(fits(long, 'no such thing (at all)')).toBe(false);
  });

  it('several tests: the whole message, so that one more or another one is another failure', () => {
    const both = failure('test_failure', 'Failure in test a_1: Got 14\nFailure in test b: Got 2', ['a_1', 'b']);
    expect(fits(both, 'Failure in test a_1: Got 3\nFailure in test b: Got 99')).toBe(true);
    expect(fits(both, 'Failure in test a_2: Got 3\nFailure in test b: Got 99')).toBe(false);
    expect(fits(both, `${both.message}\nFailure in test c: Got 1`)).toBe(false);
    expect(conditionOf({ ...both, message: '2 tests failed' })).toBeNull();
    expect(conditionOf({ ...both, message: both.message + 'x'.repeat(300) })).toBeNull();
  });

  it('has a name that can be an id and that none has', () => {
    const named = (tests: string[], taken: string[] = []) => remedyIdFor(failure('sql_error', '', tests), taken);
    expect(named([])).toBe('sql-error');
    expect(named(['Unique key.é'], ['unique-key-'])).toBe('unique-key--2');
    expect(named(['9_days'])).toBe('days');
    expect(named([`t${'x'.repeat(300)}`], [`t${'x'.repeat(57)}`])).toMatch(/^[a-z][a-z0-9_-]{0,62}$/);
  });
});
