/** What was asked cannot be done as asked; the message is one sentence that says what to do. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** What was asked is fine, but something stands in its way just now. */
export class StateError extends Error {
  override name = 'StateError';
}

/** Workflows are open, but no worker answers for them. */
export class NoWorkerError extends StateError {
  override name = 'NoWorkerError';

  constructor() {
    super('No worker answers for the running workflows: start one with "dayfill stack up" or "dayfill worker".');
  }
}

/** The Temporal server could not be reached. */
export class NoTemporalError extends StateError {
  override name = 'NoTemporalError';
}
