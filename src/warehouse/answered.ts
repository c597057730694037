import { setTimeout } from 'node:timers/promises';

/** Milliseconds; the client itself waits as long as the network lets it. */
const ANSWER_MS = 20_000;

/**
 * Waits for an answer of the warehouse that nothing may wait for longer.
 * @throws an error of code `ETIMEDOUT` when there is none in time, or what was thrown.
 */
export async function answered<T>(asked: Promise<T>): Promise<T> {
  const inTime = new AbortController();
  const late = setTimeout(ANSWER_MS, undefined, { signal: inTime.signal, ref: false }).then(() => {
    throw Object.assign(new Error(`no answer within ${ANSWER_MS / 1000} s`), { code: 'ETIMEDOUT' });
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    inTime.abort();
  }
}
