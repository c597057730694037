import { describe, expect, test } from '@jest/globals';
import { isTransientWarehouseError, statusOf, warehouseMessage } from '../../../src/warehouse/errors.js';

const error = (fields: object) => Object.assign(new Error('something'), fields);

describe('isTransientWarehouseError', () => {
  const passing: [string, object][] = [
    ['a server error', { code: 503 }],
    ['too many requests', { code: 429 }],
    ['a refused connection', { code: 'ECONNREFUSED' }],
    ['a name that is not found just now', { code: 'EAI_AGAIN' }],
    ['a rate limit told as 403', { code: 403, errors: [{ reason: 'rateLimitExceeded' }] }],
    ['the result of a job', { reason: 'backendError', message: 'Error encountered during execution.' }],
    [
      'two writers of one table',
      { code: 400, message: 'Could not serialize access to table p:d.t due to concurrent update' },
    ],
    ['a socket that was hung up', { message: 'socket hang up' }],
  ];
  test.each(passing)('%s will pass', (_what, fields) => {
    expect(isTransientWarehouseError(error(fields))).toBe(true);
  });

  const lasting: [string, object][] = [
    ['a query that is refused', { code: 400, errors: [{ reason: 'invalidQuery' }], message: 'Syntax error at [1:8]' }],
    ['what is not there', { code: 404, errors: [{ reason: 'notFound' }] }],
    ['what is there already', { code: 409, errors: [{ reason: 'duplicate' }] }],
    ['no permission', { code: 403, errors: [{ reason: 'accessDenied' }] }],
    ['a job that was cancelled', { reason: 'stopped', message: 'Job execution was cancelled' }],
    ['a table called network', { code: 404, message: 'Not found: Table p:d.network' }],
  ];
  test.each(lasting)('%s will not', (_what, fields) => {
    expect(isTransientWarehouseError(error(fields))).toBe(false);
  });
});

test('warehouseMessage leaves out what the client adds', () => {
  const inner = [{ message: 'Syntax error at [1:8]', reason: 'invalidQuery' }];
  expect(warehouseMessage(error({ message: 'Error: Syntax error at [1:8]\n    at post', errors: inner }))).toBe(
    'Syntax error at [1:8]',
  );
  expect(warehouseMessage(new Error('gone'))).toBe('gone');
  expect(warehouseMessage('text')).toBe('text');
});

test('statusOf knows numbers only', () => {
  expect([statusOf(error({ code: 409 })), statusOf(error({ code: 'ECONNRESET' }))]).toEqual([409, undefined]);
});
