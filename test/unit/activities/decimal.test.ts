import { describe, expect, it } from '@jest/globals';
import { compare, decimal, decimalText, minus } from '../../../src/activities/reconcile/decimal.js';

const text = (number: string) => decimalText(decimal(number)!);

describe('decimals', () => {
  it.each([
    ['1.50', '1.5'],
    ['-0.000000001', '-0.000000001'],
    ['1e21', '1000000000000000000000'],
    ['1.5e-7', '0.00000015'],
    ['-.5', '-0.5'],
    ['+7.', '7'],
    ['-0', '0'],
    ['00012', '12'],
  ])('%s is %s', (number, plain) => expect(text(number)).toBe(plain));

  it.each(['', '.', '-', 'NaN', 'Infinity', '1,5', '0x10', '1e9999'])('%p is no number', (word) => {
    expect(decimal(word)).toBeNull();
  });

  it('are subtracted and compared exactly', () => {
    expect(decimalText(minus(decimal('0.3')!, decimal('0.1')!))).toBe('0.2');
    expect(compare(decimal('2.50')!, decimal('2.5')!)).toBe(0);
    expect(compare(decimal('-3')!, decimal('2')!)).toBeLessThan(0);
  });
});
