import { describe, expect, it } from '@jest/globals';
import type { StepFailure } from '../../../src/contracts/failure.js';
import type { Remedy } from '../../../src/pipeline/definition.js';
import { matchRemedies } from '../../../src/pipeline/match.js';
import { failure, pipeline, remedy, step } from './definitions.js';

/** Ids of the remedies that cover a failure of the one step. */
function covering(remedies: Remedy[], what: Partial<StepFailure>, used: Record<string, number> = {}): string[] | null {
  const definition = pipeline({ steps: [step({ id: 'crm', remedies })] });
  return matchRemedies(definition, 'crm', failure(what), used)?.map(({ id }) => id) ?? null;
}

describe('one condition', () => {
  it.each([
    ['unique_key', 'unique_key', true],
    ['unique_key', 'unique_key_2', false],
    ['unique_*', 'unique_talbots_key', true],
    ['*_key', 'unique_talbots_key', true],
    ['*a*b*', 'xxaxxbxx', true],
    ['*a*b', 'ab_ba', false],
    ['unique_?', 'unique_1', true],
    ['unique_?', 'unique_12', false],
    ['*', 'anything', true],
    ['a.c', 'abc', false],
    ['[ab]', 'a', false],
    ['a\\*', 'a\\b', true],
  ])('test %j and %j: %j', (glob, test, fits) => {
    expect(covering([remedy({ id: 'r', when: { test: glob } })], { tests: [test] })).toEqual(fits ? ['r'] : null);
  });

  it('a glob of many stars is quick', () => {
    const when = { test: `${'*a'.repeat(100)}b` };
    expect(covering([remedy({ id: 'r', when })], { tests: ['a'.repeat(10_000)] })).toBeNull();
  });

  it('error is looked for anywhere in the message', () => {
    const remedies = [remedy({ id: 'r', when: { error: 'Quota \\w+' } })];
    expect(covering(remedies, { kind: 'sql_error', message: 'Error: Quota exceeded.' })).toEqual(['r']);
    expect(covering(remedies, { kind: 'sql_error', message: 'Error: quota exceeded.' })).toBeNull();
  });

  it('kind and exit code must be equal', () => {
    const remedies = [remedy({ id: 'k', when: { kind: 'timeout' } }), remedy({ id: 'e', when: { exitCode: 7 } })];
    expect(covering(remedies, { kind: 'timeout' })).toEqual(['k']);
    expect(covering(remedies, { kind: 'exit_code', exitCode: 7 })).toEqual(['e']);
    expect(covering(remedies, { kind: 'exit_code', exitCode: 0 })).toBeNull();
    expect(covering(remedies, { kind: 'exit_code', exitCode: null })).toBeNull();
  });
});

describe('several conditions', () => {
  const both = [remedy({ id: 'r', when: { test: 'a', error: 'x', kind: 'test_failure', exitCode: 1 } })];
  const fits = { tests: ['a'], message: 'x', exitCode: 1 };

  it('must all match', () => {
    expect(covering(both, fits)).toEqual(['r']);
    expect(covering(both, { ...fits, tests: ['b'] })).toBeNull();
    expect(covering(both, { ...fits, message: 'y' })).toBeNull();
    expect(covering(both, { ...fits, kind: 'sql_error' })).toBeNull();
    expect(covering(both, { ...fits, exitCode: 2 })).toBeNull();
  });

  it('a remedy for a test does not answer a failure without tests', () => {
    expect(covering([remedy({ id: 'r', when: { test: '*' } })], { kind: 'sql_error', tests: [] })).toBeNull();
  });
});

describe('several remedies', () => {
  const a = remedy({ id: 'a', when: { test: 'a*' } });
  const b = remedy({ id: 'b', when: { test: 'b*' } });
  const any = remedy({ id: 'any', when: { kind: 'test_failure' } });

  it('the first in the file is taken, and only one for each test', () => {
    const again = remedy({ id: 'again', when: { test: 'a*' } });
    expect(covering([a, again], { tests: ['a1', 'a2'] })).toEqual(['a']);
    expect(covering([again, a], { tests: ['a1'] })).toEqual(['again']);
  });

  it('all failing tests must be covered together', () => {
    expect(covering([a, b], { tests: ['b1', 'a1'] })).toEqual(['a', 'b']);
    expect(covering([a, b], { tests: ['a1', 'b1', 'c1'] })).toBeNull();
    expect(covering([a, b], { tests: ['c1'] })).toBeNull();
  });

  it('one without a test covers the whole failure', () => {
    expect(covering([any, a], { tests: ['a1', 'c1'] })).toEqual(['any']);
    expect(covering([a, any], { tests: ['a1'] })).toEqual(['a']);
    expect(covering([a, any], { tests: ['a1', 'c1'] })).toEqual(['a', 'any']);
  });

  it('one without attempts left is passed over', () => {
    const twice = remedy({ id: 'twice', when: { test: 'a*' }, attempts: 2 });
    expect(covering([twice], { tests: ['a1'] }, { twice: 1 })).toEqual(['twice']);
    expect(covering([twice], { tests: ['a1'] }, { twice: 2 })).toBeNull();
    expect(covering([a, twice], { tests: ['a1'] }, { a: 1 })).toEqual(['twice']);
    expect(covering([a, b], { tests: ['a1', 'b1'] }, { a: 1 })).toBeNull();
  });
});

it('a step that has no remedies, or is no longer there, has nothing that covers', () => {
  expect(covering([], { tests: ['a'] })).toBeNull();
  expect(matchRemedies(pipeline(), 'gone', failure({ tests: ['a'] }), {})).toBeNull();
});
