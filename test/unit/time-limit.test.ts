import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from '@jest/globals';
import { withTimeLimit } from '../../src/time-limit.js';

test('a time limit holds although garbage is collected meanwhile', async () => {
  setFlagsFromString('--expose-gc');
  const signal = withTimeLimit(new AbortController().signal, 100);
  const aborted = once(signal, 'abort');
  await setImmediate();
  runInNewContext('gc')();
  await aborted;
  expect(signal.reason.name).toBe('TimeoutError');
});

test('the signal aborts before that, with its own reason', () => {
  const controller = new AbortController();
  const signal = withTimeLimit(controller.signal, 60_000);
  controller.abort(new Error('enough'));
  expect(signal.reason.message).toBe('enough');
});
