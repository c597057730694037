import { createHash } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { backfillId, partitionId, shortHash, stepKey, variantName } from '../../../src/contracts/ids.js';

test('shortHash is the beginning of the SHA-256', () => {
  const whole = createHash('sha256').update('día 日').digest('hex');
  expect(shortHash('día 日', 64)).toBe(whole);
  expect(shortHash('día 日')).toBe(whole.slice(0, 8));
});

test('a run without overridden vars has the name of its pipeline', () => {
  expect(variantName('talbots', undefined)).toBe('talbots');
  expect(variantName('talbots', {})).toBe('talbots');
});

test('overridden vars make a variant, whatever their order', () => {
  const name = variantName('talbots', { a: '1', b: '2' });
  expect(name).toMatch(/^talbots~[0-9a-f]{8}$/);
  expect(variantName('talbots', { b: '2', a: '1' })).toBe(name);
  expect(variantName('talbots', { a: '1', b: '3' })).not.toBe(name);
  expect(variantName('talbots', { a: '1,b=2' })).not.toBe(name);
});

test('ids of a variant are apart from those of production', () => {
  const vars = { a: '1' };
  const variant = variantName('talbots', vars);
  expect([backfillId('talbots'), backfillId('talbots', vars)]).toEqual(['backfill/talbots', `backfill/${variant}`]);
  expect(partitionId('talbots', '2025-07-16', vars)).toBe(`${variant}/2025-07-16`);
  expect(stepKey('talbots', '2025-07-16', 'crm', vars)).toBe(`${variant}/2025-07-16/crm`);
  expect(stepKey('talbots', '2025-07-16', 'crm')).toBe('talbots/2025-07-16/crm');
});
