import { describe, expect, test } from '@jest/globals';
import { concurrency, keyList, selection, varList } from '../../../src/cli/options.js';
import { sentence } from '../../../src/cli/tables.js';
import { UsageError } from '../../../src/client/errors.js';

test('keyList takes keys separated by commas and nothing empty', () => {
  expect(keyList('2025-07-18, 2025-07-20')).toEqual(['2025-07-18', '2025-07-20']);
  for (const text of ['', ',', '2025-07-18,', ' ']) expect(() => keyList(text)).toThrow(/separated by commas/);
});

test('varList gathers, keeps what follows the first "=" and refuses what is no name', () => {
  expect(varList('b=x=y', varList('a='))).toEqual({ a: '', b: 'x=y' });
  expect(varList('a=two\nlines')).toEqual({ a: 'two\nlines' });
  for (const text of ['a', '=x', 'a b=x', '-a=x', '$(a)=x']) expect(() => varList(text)).toThrow(/name=value/);
});

test('concurrency is a whole number from 1 to 100', () => {
  expect(['1', '42', '100'].map(concurrency)).toEqual([1, 42, 100]);
  for (const text of ['0', '101', '-1', '1.5', '1e2', '', 'x']) expect(() => concurrency(text)).toThrow(/1 to 100/);
});

describe('selection', () => {
  test('is a range or keys', () => {
    expect(selection({ from: 'a', to: 'b' })).toEqual({ from: 'a', to: 'b' });
    expect(selection({ partitions: ['a'] })).toEqual({ partitions: ['a'] });
  });

  test.each([{}, { from: 'a' }, { to: 'a' }, { from: 'a', to: 'b', partitions: ['a'] }])('is not %j', (options) => {
    expect(() => selection(options)).toThrow(UsageError);
  });
});

test('sentence makes one short line', () => {
  expect(sentence('two\n  lines ')).toBe('two lines');
  expect(sentence('x'.repeat(200), 10)).toBe(`${'x'.repeat(9)}…`);
  expect(sentence(undefined)).toBe('');
});
