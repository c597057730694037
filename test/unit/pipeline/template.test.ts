import { describe, expect, it } from '@jest/globals';
import { PartitionError } from '../../../src/pipeline/errors.js';
import { referenceProblem, substitute, type TemplateValues } from '../../../src/pipeline/template.js';

const values: TemplateValues = {
  pipeline: 'talbots~1a2b3c4d',
  isFirst: false,
  partition: { key: '2020-01-01..2020-01-30', start: '2020-01-01', end: '2020-01-30' },
  vars: { client: 'talbots', odd: '${partition} $& $1' },
  previousState: { cursor: 42, last: { day: '2019-12-31' }, list: [1, 2], none: null },
};

describe('substitution', () => {
  it('reaches every text, however deep, and leaves everything else', () => {
    const given = {
      run: ['load', '${partition}', 7, true, null],
      vars: { from: '${partition.start}', to: '${partition.end}', name: 'x-${vars.client}-${vars.client}' },
    };
    expect(substitute(given, values)).toEqual({
      run: ['load', '2020-01-01..2020-01-30', 7, true, null],
      vars: { from: '2020-01-01', to: '2020-01-30', name: 'x-talbots-talbots' },
    });
  });

  it('happens once: what is put in is not read again', () => {
    expect(substitute('a ${vars.odd} b', values)).toBe('a ${partition} $& $1 b');
  });

  it('keeps the JSON type of a state that stands alone', () => {
    expect(substitute('${previous.state.cursor}', values)).toBe(42);
    expect(substitute('${previous.state.last}', values)).toEqual({ day: '2019-12-31' });
    expect(substitute('${previous.state.none}', values)).toBeNull();
    expect(substitute('${previous.state.last.day}', values)).toBe('2019-12-31');
  });

  it('writes a state inside a text as text', () => {
    expect(substitute('c=${previous.state.cursor} l=${previous.state.list} n=${previous.state.none}.', values)).toBe(
      'c=42 l=[1,2] n=.',
    );
  });

  it('leaves other dollars and braces alone', () => {
    expect(substitute('$HOME {x} $ {y} }', values)).toBe('$HOME {x} $ {y} }');
  });
});

describe('what has no value', () => {
  it.each([
    '${today}',
    '${vars.nothing}',
    '${PATH}',
    '${partition',
    '${}',
    '${ partition }',
    '${vars.constructor}',
    '${previous.state}',
  ])('%s is an error', (text) => {
    expect(() => substitute({ deep: [text] }, values)).toThrow(PartitionError);
  });

  it.each([
    '${previous.state.gone}',
    '${previous.state.cursor.x}',
    '${previous.state.list.length}',
    '${previous.state.constructor}',
  ])('%s is not what the partition before handed on', (text) => {
    expect(() => substitute(text, values)).toThrow(
      new PartitionError(
        `${text} has no value for 2020-01-01..2020-01-30: the partition before handed on no such state; run that one first.`,
      ),
    );
  });

  it('but the first partition of a calendar has none before it', () => {
    const first = { ...values, isFirst: true, previousState: undefined };
    expect(substitute('${previous.state.cursor}', first)).toBeNull();
    expect(substitute('since ${previous.state.cursor}', first)).toBe('since ');
  });

  it('is said with what could stand there', () => {
    expect(referenceProblem('vars.x', {})).toBe('${vars.x} is not declared under vars; there are none');
    expect(referenceProblem('vars.x', { a: 1 })).toBe('${vars.x} is not declared under vars; there is a');
    expect(referenceProblem('env.HOME', {})).toContain('expected pipeline, partition, partition.start, partition.end');
  });
});
