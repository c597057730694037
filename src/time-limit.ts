/**
 * Aborts when the signal does, or after so many milliseconds, with a TimeoutError.
 *
 * Node 20 forgets a timeout that only `AbortSignal.any` knows of as soon as it collects garbage, and then nothing is ever aborted; one
 * that somebody listens to stays.
 */
export function withTimeLimit(signal: AbortSignal, ms: number): AbortSignal {
  const timeout = AbortSignal.timeout(ms);
  timeout.addEventListener('abort', () => {});
  return AbortSignal.any([signal, timeout]);
}
