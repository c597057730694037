import { describe, expect, test } from '@jest/globals';
import { acceptedList, literal } from '../../../src/advisers/rules/literals.js';
import { WhereNotUsable, whereOf } from '../../../src/advisers/rules/where.js';
import { tableInfo } from '../../../src/advisers/table-info.js';
import type { FailingTest } from '../../../src/contracts/fix.js';
import { rules, table } from './shop.js';

const orders = tableInfo(
  'p.shop.orders',
  table({ day: 'DATE', at: 'TIMESTAMP', local: 'DATETIME', text: 'STRING', id: 'INTEGER' }),
  rules(),
);
const whereFor = (where: unknown, start = '2025-07-16', end = start) =>
  whereOf({ arguments: { where } } as unknown as FailingTest, orders, { key: '', start, end });

describe('the condition of a test', () => {
  test.each([
    ["day = '2025-07-16'", null],
    ["`day` = date '2025-07-16'", null],
    ["(day = date('2025-07-16'))", null],
    ['id > 3', 'id > 3'],
    ["day = '2025-07-16' and id > 3", 'day = @partition and id > 3'],
    ["at >= '2025-07-16'", 'at >= timestamp(@partition)'],
    ["local >= '2025-07-16'", 'local >= datetime(@partition)'],
    ["text = '2025-07-16'", 'text = cast(@partition as string)'],
    ["at >= timestamp '2025-07-16'", 'at >= timestamp(@partition)'],
    ['day >= "2020-01-01"', 'day >= "2020-01-01"'],
  ])('%s has its day as a parameter', (where, expected) => {
    expect(whereFor(where)).toBe(expected);
  });

  test('of a chunk has both of its ends', () => {
    const where = "day between '2025-07-13' and '2025-07-16'";
    expect(whereFor(where, '2025-07-13', '2025-07-16')).toBe('day between @partition_start and @partition_end');
  });

  test.each(["{{ var('x') }} > 1", 'id = 20250716', "text = 'at 2025-07-16'", 'id > 1; drop table x', 7])(
    '%s cannot be said for every day',
    (where) => expect(() => whereFor(where)).toThrow(WhereNotUsable),
  );
});

describe('values', () => {
  test('are literals, whatever they hold', () => {
    expect(literal(`it's a "\\ and\na line`)).toBe(`'it\\'s a "\\\\ and\\na line'`);
    expect(acceptedList(['a', 1, true], true)).toBe("'a', '1', 'true'");
    expect(acceptedList([1, -2.5, true, '3'], false)).toBe('1, -2.5, true, 3');
  });

  test.each([
    [['current_date()'], false],
    [[null], true],
    [[['a']], true],
    [[], true],
    ['a', true],
  ])('%j (quoted: %s) is nothing that a rule takes', (values, quoted) => {
    expect(acceptedList(values as never, quoted)).toBeNull();
  });
});
