import { describe, expect, test } from '@jest/globals';
import { normalBand } from '../../../src/client/normal.js';

describe('the normal band', () => {
  test('is unknown with fewer than five runs', () => {
    expect(normalBand([1, 2, 3, 4])).toBeNull();
  });

  test('is three standard deviations around the median, whatever a single outlier says', () => {
    const band = normalBand([12, 10, 14, 11, 13, 900]);
    expect(band!.median).toBe(12.5);
    expect(band!.high).toBeCloseTo(12.5 + 3 * 1.4826 * 1.5);
    expect(band!.low).toBeCloseTo(12.5 - 3 * 1.4826 * 1.5);
  });

  test('is a quarter of the median wide where figures hardly differ, and never below nothing', () => {
    expect(normalBand([8, 8, 8, 8, 8])).toEqual({ median: 8, low: 6, high: 10 });
    expect(normalBand([0, 0, 0, 0, 0])).toEqual({ median: 0, low: 0, high: 0 });
    expect(normalBand([1, 5, 9, 1, 9])).toMatchObject({ median: 5, low: 0 });
  });

  test('forgets what is longer ago than thirty runs', () => {
    expect(normalBand([...Array(30).fill(1000), ...Array(30).fill(8)])).toEqual({ median: 8, low: 6, high: 10 });
  });
});
