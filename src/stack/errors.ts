/** Something that the stack cannot do; the message says what happened and what to do. */
export class StackError extends Error {
  override name = 'StackError';
}

/** A service that ended before it worked. */
export class DiedAtStart extends StackError {
  override name = 'DiedAtStart';
}
