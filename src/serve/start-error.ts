/** Says why `dayfill serve` cannot start, and what to do. */
export class ServeStartError extends Error {
  override name = 'ServeStartError';
}
