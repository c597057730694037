import { describe, expect, test } from '@jest/globals';
import { tableInfo } from '../../../src/advisers/table-info.js';
import { rules, table } from './shop.js';

const NAME = 'p.shop.orders';
const columns = { id: 'INTEGER', day: 'DATE', paid: 'DATE', at: 'TIMESTAMP' };

describe('the day of a row', () => {
  test.each([
    ['the only date', { id: 'INTEGER', day: 'DATE' }, undefined, 'day', '`day`'],
    ['none of two dates', columns, undefined, undefined, null],
    ['what it is partitioned by', columns, { type: 'DAY', field: 'paid' }, 'paid', '`paid`'],
    ['the same, by month', columns, { type: 'MONTH', field: 'paid' }, 'paid', 'date_trunc(`paid`, MONTH)'],
    ['the same, by hour', columns, { type: 'HOUR', field: 'at' }, 'at', 'timestamp_trunc(`at`, HOUR)'],
    ['none, by time of loading', { id: 'INTEGER', day: 'DATE' }, { type: 'DAY' }, undefined, null],
  ])('is %s', (_, fields, timePartitioning, day, partitionBy) => {
    const info = tableInfo(NAME, table(fields, timePartitioning && { timePartitioning }), rules());
    expect([info.day?.name, info.partitionBy]).toEqual([day, partitionBy]);
  });

  test('is what the pipeline says, before all else', () => {
    const metadata = table(columns, { timePartitioning: { type: 'DAY', field: 'paid' } });
    const info = tableInfo(NAME, metadata, rules({ 'shop.orders': 'at' }));
    expect([info.day, info.partitionBy]).toEqual([{ name: 'at', type: 'TIMESTAMP' }, 'timestamp_trunc(`at`, DAY)']);
  });
});

test('columns are named as DDL takes them, and a table without its project where that is known', () => {
  const fields = [
    { name: 'id', type: 'INTEGER', mode: 'REQUIRED' },
    { name: 'price', type: 'FLOAT' },
    { name: 'tags', type: 'STRING', mode: 'REPEATED' },
    { name: 'lines', type: 'RECORD', mode: 'REPEATED', fields: [{ name: 'ok', type: 'BOOLEAN' }] },
  ];
  const info = tableInfo(NAME, { type: 'VIEW', schema: { fields } }, rules());
  expect(info.columns.map(({ type }) => type)).toEqual([
    ...['INT64', 'FLOAT64', 'ARRAY<STRING>', 'ARRAY<STRUCT<`ok` BOOL>>'],
  ]);
  expect([info.name, info.changeable]).toEqual(['shop.orders', false]);
  expect(tableInfo('other.shop.orders', table({}), rules()).name).toBe('other.shop.orders');
});
