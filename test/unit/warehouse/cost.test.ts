import { expect, test } from '@jest/globals';
import { bytesFor, costUsd } from '../../../src/warehouse/cost.js';

const TIB = 1024 ** 4;
const ON_DEMAND = { perTibUsd: 6.25, perSlotHourUsd: 0 };
const SLOTS = { perTibUsd: 0, perSlotHourUsd: 0.04 };

test.each([
  ['bytes', { bytesBilled: TIB / 2, slotMs: 3_600_000 }, ON_DEMAND, 3.125],
  ['slots', { bytesBilled: TIB, slotMs: 7_200_000 }, SLOTS, 0.08],
  ['both', { bytesBilled: TIB, slotMs: 3_600_000 }, { perTibUsd: 5, perSlotHourUsd: 0.04 }, 5.04],
  ['the least that a query bills', { bytesBilled: 10 * 1024 ** 2, slotMs: null }, ON_DEMAND, 0.00006],
  ['nothing that is known', { bytesBilled: null, slotMs: 5 }, ON_DEMAND, null],
  ['no bytes', { bytesBilled: 0, slotMs: null }, ON_DEMAND, 0],
])('%s have their price', (_, used, prices, dollars) => {
  expect(costUsd(used, prices)).toBe(dollars);
});

test('so many dollars are so many bytes, where bytes have a price', () => {
  expect(bytesFor(6.25, ON_DEMAND)).toBe(TIB);
  expect(bytesFor(6.25, SLOTS)).toBeNull();
});
