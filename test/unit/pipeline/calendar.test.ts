import { describe, expect, it } from '@jest/globals';
import {
  boundsOf,
  latestPartitionsOver,
  partitionsOfRange,
  partitionsOver,
  previousPartition,
} from '../../../src/pipeline/calendar.js';
import { PartitionError } from '../../../src/pipeline/errors.js';

const days = { name: 'talbots', calendar: { everyDays: 1, start: '2025-07-01', end: null } };
const bounded = { name: 'talbots', calendar: { everyDays: 1, start: '2025-07-01', end: '2025-07-31' } };
const chunks = { name: 'history', calendar: { everyDays: 30, start: '2020-01-01', end: '2020-03-05' } };

describe('days', () => {
  it('lists a range with both its ends', () => {
    const month = partitionsOfRange(days, '2025-07-16', '2025-08-14');
    expect(month).toHaveLength(30);
    expect([month[0], month[15], month[16], month[29]]).toEqual([
      '2025-07-16',
      '2025-07-31',
      '2025-08-01',
      '2025-08-14',
    ]);
    expect(partitionsOfRange(days, '2025-07-16', '2025-07-16')).toEqual(['2025-07-16']);
  });

  it('knows leap days and the days that clocks change on', () => {
    expect(partitionsOfRange(days, '2028-02-28', '2028-03-01')).toEqual(['2028-02-28', '2028-02-29', '2028-03-01']);
    expect(partitionsOfRange(days, '2026-03-28', '2026-03-30')).toEqual(['2026-03-28', '2026-03-29', '2026-03-30']);
    expect(partitionsOfRange(days, '2025-10-25', '2025-10-27')).toEqual(['2025-10-25', '2025-10-26', '2025-10-27']);
  });

  it('gives bounds and the day before', () => {
    expect(boundsOf(days, '2025-08-01')).toEqual({ key: '2025-08-01', start: '2025-08-01', end: '2025-08-01' });
    expect(previousPartition(days, '2025-08-01')).toBe('2025-07-31');
    expect(previousPartition(days, '2025-07-01')).toBeNull();
  });
});

describe('chunks', () => {
  it('are anchored at the start; the last one is short', () => {
    expect(partitionsOfRange(chunks, '2020-01-01', '2020-03-05')).toEqual([
      '2020-01-01..2020-01-30',
      '2020-01-31..2020-02-29',
      '2020-03-01..2020-03-05',
    ]);
    expect(boundsOf(chunks, '2020-03-01..2020-03-05')).toEqual({
      key: '2020-03-01..2020-03-05',
      start: '2020-03-01',
      end: '2020-03-05',
    });
    expect(previousPartition(chunks, '2020-03-01..2020-03-05')).toBe('2020-01-31..2020-02-29');
    expect(previousPartition(chunks, '2020-01-01..2020-01-30')).toBeNull();
  });

  it('are written with both days, even when they have but one', () => {
    const one = { name: 'x', calendar: { everyDays: 2, start: '2020-01-01', end: '2020-01-03' } };
    expect(partitionsOfRange(one, '2020-01-03', '2020-01-03')).toEqual(['2020-01-03..2020-01-03']);
  });
});

describe('what is refused, in one sentence', () => {
  it.each([
    [days, '2025-07-20', '2025-07-16', 'from 2025-07-20 is after to 2025-07-16; swap them.'],
    [days, '2025-02-30', '2025-07-16', '2025-02-30 is not a date that exists.'],
    [days, '2025-07-16', '2025-13-01', '2025-13-01 is not a date that exists.'],
    [days, '16.7.2025', '2025-07-16', '"16.7.2025" is not a date; expected one such as 2025-07-16.'],
    [days, '', '2025-07-16', '"" is not a date; expected one such as 2025-07-16.'],
    [days, '2025-06-30', '2025-07-16', '2025-06-30 is not on the calendar of talbots, which begins on 2025-07-01.'],
    [bounded, '2025-07-16', '2025-08-01', '2025-08-01 is not on the calendar of talbots, which ends on 2025-07-31.'],
    [
      chunks,
      '2020-01-05',
      '2020-01-30',
      'from 2020-01-05 cuts the chunk 2020-01-01..2020-01-30 of history; begin at 2020-01-01, or leave the chunk out.',
    ],
    [
      chunks,
      '2020-01-01',
      '2020-02-10',
      'to 2020-02-10 cuts the chunk 2020-01-31..2020-02-29 of history; end at 2020-02-29, or leave the chunk out.',
    ],
    [days, '2025-07-01', '2125-07-01', '2025-07-01 to 2125-07-01 is 36525 partitions; a backfill has at most 10000.'],
  ])('%# from %j to %j', (definition, from, to, message) => {
    expect(() => partitionsOfRange(definition, from as string, to as string)).toThrow(
      new PartitionError(message as string),
    );
  });

  it.each([
    [days, '2025-02-30', '2025-02-30 is not a date that exists.'],
    [days, '2025-06-30', '2025-06-30 is not on the calendar of talbots, which begins on 2025-07-01.'],
    [days, 'yesterday', '"yesterday" is not a partition of talbots; expected a day such as 2025-07-01.'],
    [days, '../../x', '"../../x" is not a partition of talbots; expected a day such as 2025-07-01.'],
    [days, '2025-07-16\n', '"2025-07-16\\n" is not a partition of talbots; expected a day such as 2025-07-01.'],
    [days, '2025-07-16..2025-07-17', '2025-07-16..2025-07-17 is not a partition of talbots; did you mean 2025-07-16?'],
    [chunks, '2020-01-05', '2020-01-05 is not a partition of history; did you mean 2020-01-01..2020-01-30?'],
    [
      chunks,
      '2020-01-01..2020-01-31',
      '2020-01-01..2020-01-31 is not a partition of history; did you mean 2020-01-01..2020-01-30?',
    ],
    [chunks, '2020-01-01..2020-02-30', '2020-02-30 is not a date that exists.'],
    [
      chunks,
      '2020-01-01..2020-01-30..2020-02-01',
      '"2020-01-01..2020-01-30..2020-02-01" is not a partition of history; expected a chunk such as 2020-01-01..2020-01-30.',
    ],
  ])('%# the key %j', (definition, key, message) => {
    const refused = new PartitionError(message);
    expect(() => boundsOf(definition, key)).toThrow(refused);
    expect(() => previousPartition(definition, key)).toThrow(refused);
  });
});

/** Numbers from 0 to below n, the same for the same seed. */
function generator(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

describe('partitions that are over', () => {
  const tens = { name: 'tens', calendar: { everyDays: 10, start: '2025-01-01', end: null } };

  it('go to yesterday, to the last whole chunk, to the end of the calendar', () => {
    expect(partitionsOver(days, '2025-07-03')).toEqual(['2025-07-01', '2025-07-02']);
    expect(partitionsOver(days, '2025-08-01')).toHaveLength(31);
    expect(partitionsOver(tens, '2025-01-20')).toEqual(['2025-01-01..2025-01-10']);
    expect(partitionsOver(tens, '2025-01-21')).toEqual(['2025-01-01..2025-01-10', '2025-01-11..2025-01-20']);
    expect(partitionsOver(bounded, '2025-09-01').at(-1)).toBe('2025-07-31');
    expect(partitionsOver(chunks, '2020-03-06').at(-1)).toBe('2020-03-01..2020-03-05');
    expect(partitionsOver(chunks, '2020-03-05').at(-1)).toBe('2020-01-31..2020-02-29');
  });

  it('are none on the first day, and before it', () => {
    for (const today of ['2025-07-01', '2025-06-30', '2020-01-01']) expect(partitionsOver(days, today)).toEqual([]);
    expect(partitionsOver(tens, '2025-01-10')).toEqual([]);
  });

  it('can be bounded, by whole partitions of the calendar', () => {
    expect(partitionsOver(days, '2025-07-20', { from: '2025-07-18' })).toEqual(['2025-07-18', '2025-07-19']);
    expect(partitionsOver(days, '2025-07-20', { to: '2025-07-02' })).toEqual(['2025-07-01', '2025-07-02']);
    expect(partitionsOver(days, '2025-07-20', { from: '2025-07-19', to: '2025-07-25' })).toEqual(['2025-07-19']);
    expect(partitionsOver(days, '2025-07-20', { from: '2025-07-20' })).toEqual([]);
    for (const today of ['2025-01-15', '2025-02-15']) {
      expect(() => partitionsOver(tens, today, { from: '2025-01-12' })).toThrow(/cuts the chunk 2025-01-11/);
    }
    expect(() => partitionsOver(days, '2025-07-20', { from: '2025-02-30' })).toThrow(/does not|not a date/);
    expect(() => partitionsOver(days, '2025-07-20', { from: '2025-07-05', to: '2025-07-04' })).toThrow(/swap them/);
  });

  it('are looked for among the last days, with the chunk that they cut', () => {
    expect(latestPartitionsOver(days, '2025-08-02', 3)).toEqual(['2025-07-30', '2025-07-31', '2025-08-01']);
    expect(latestPartitionsOver(days, '2028-03-01', 2)).toEqual(['2028-02-28', '2028-02-29']);
    expect(latestPartitionsOver(days, '2025-07-03', 14)).toEqual(['2025-07-01', '2025-07-02']);
    expect(latestPartitionsOver(days, '2025-07-01', 14)).toEqual([]);
    expect(latestPartitionsOver(bounded, '2025-08-05', 6)).toEqual(['2025-07-30', '2025-07-31']);
    expect(latestPartitionsOver(bounded, '2025-08-15', 14)).toEqual([]);
    expect(latestPartitionsOver(tens, '2025-01-25', 14)).toEqual(['2025-01-11..2025-01-20']);
    expect(latestPartitionsOver(tens, '2025-01-25', 15)).toEqual(['2025-01-01..2025-01-10', '2025-01-11..2025-01-20']);
    expect(latestPartitionsOver(tens, '2025-01-25', 3)).toEqual([]);
  });
});

describe('any calendar', () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  it(`partitions its days without gap or overlap (SEED=${seed})`, () => {
    const random = generator(seed);
    const iso = (day: number) => new Date(day * 86_400_000).toISOString().slice(0, 10);
    for (let round = 0; round < 200; round++) {
      const start = random(40_000);
      const length = 1 + random(400);
      const everyDays = 1 + random(60);
      const calendar = { everyDays, start: iso(start), end: iso(start + length - 1) };
      const definition = { name: 'any', calendar };

      const keys = partitionsOfRange(definition, calendar.start, calendar.end);
      const covered = keys.map((key) => boundsOf(definition, key));
      expect(keys).toHaveLength(Math.ceil(length / everyDays));
      expect([...keys].sort()).toEqual(keys);
      expect([covered[0]!.start, covered.at(-1)!.end]).toEqual([calendar.start, calendar.end]);
      for (const [index, { key, start: first }] of covered.entries()) {
        expect(previousPartition(definition, key)).toBe(keys[index - 1] ?? null);
        if (index === 0) continue;
        const dayBefore = iso(Date.parse(first) / 86_400_000 - 1);
        expect(covered[index - 1]!.end).toBe(dayBefore);
      }

      const a = random(keys.length);
      const b = a + random(keys.length - a);
      expect(partitionsOfRange(definition, covered[a]!.start, covered[b]!.end)).toEqual(keys.slice(a, b + 1));
    }
  });
});
