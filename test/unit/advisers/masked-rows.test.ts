import { BigQuery } from '@google-cloud/bigquery';
import { expect, test } from '@jest/globals';
import { maskedRows } from '../../../src/advisers/masked-rows.js';
import { maskPersonal } from '../../../src/runners/mask.js';
import { isPersonalName } from '../../../src/runners/personal-names.js';

test.each(['email', 'customer_email', 'lastName', 'PHONE', 'ip_address', 'loyalty_id', 'billing_zip', 'dob'])(
  '%s is personal by its name',
  (name) => expect(isPersonalName(name)).toBe(true),
);

test.each(['channel', 'currency', 'unique_key', 'amount', 'mailing', 'phonetics', 'day', 'order_id'])(
  '%s is not',
  (name) => expect(isPersonalName(name)).toBe(false),
);

test('a column is masked whole, by its name or by the look of one value; what is missing is told', () => {
  const rows = [
    { id: 1, first_name: 'Ann', free: 'by letter', day: BigQuery.date('2025-07-16'), nested: { city: 'Rome' } },
    { id: 2, first_name: null, free: 'ann@example.com', day: null, nested: null },
  ];
  expect(maskedRows(rows, maskPersonal)).toEqual([
    { id: 1, first_name: '<masked>', free: '<masked>', day: '2025-07-16', nested: '<masked>' },
    { id: 2, first_name: null, free: '<masked>', day: null, nested: null },
  ]);
});

test('a column that stands behind another name is known by its own', () => {
  const rows = [{ unique_field: 'L-100', n_records: 2 }];
  expect(maskedRows(rows, maskPersonal, { unique_field: 'loyalty_id' })).toEqual([
    { unique_field: '<masked>', n_records: 2 },
  ]);
});

test('what lies beyond the cut is looked at all the same', () => {
  const far = `${'x'.repeat(500)} ann@example.com`;
  expect(maskedRows([{ a: far, b: 'x'.repeat(500) }], maskPersonal)).toEqual([
    { a: '<masked>', b: expect.stringMatching(/^x{197}…$/) },
  ]);
});
