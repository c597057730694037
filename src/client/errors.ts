/** What was asked cannot be done as asked; the message is one sentence that says what to do. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** What was asked is fine, but something stands in its way just now. */
export class StateError extends Error {
  override name = 'StateError';
}
