import { expect, test } from '@jest/globals';
import { addKnown, bytesText, dollarsText, slotText, timeText } from '../../../src/contracts/amounts.js';

test('amounts read as people write them', () => {
  expect([0, 1023, 1024, 10 * 1024 ** 2, 1.25 * 1024 ** 4, 5000 * 1024 ** 4].map(bytesText)).toEqual([
    ...['0 B', '1020 B', '1 KiB', '10 MiB', '1.25 TiB', '5000 TiB'],
  ]);
  expect([0, 0.00006, 0.5, 5, 1234.567].map(dollarsText)).toEqual(['$0.00', '$0.00006', '$0.5', '$5.00', '$1234.57']);
  expect([1800, 5_400_000].map(slotText)).toEqual(['0.0005 slot-hours', '1.5 slot-hours']);
  expect([500, 90_000, 1_200_000, 9_000_000].map(timeText)).toEqual(['0.5 s', '90 s', '20 min', '2.5 h']);
});

test('what is not known adds nothing', () => {
  expect([null, 1, null, 2].reduce(addKnown, null)).toBe(3);
  expect([null, undefined, null].reduce(addKnown, null)).toBeNull();
});
