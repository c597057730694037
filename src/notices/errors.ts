/**
 * A target did not take a notice. The message is one sentence that names the environment variable, never what stands in it.
 */
export class NotTold extends Error {
  override name = 'NotTold';

  constructor(
    message: string,
    /** Whether to try again; false for what stays as it is until someone mends it. */
    readonly again: boolean,
    /** Milliseconds that the target asked to be left alone; null when it did not say. */
    readonly afterMs: number | null = null,
  ) {
    super(message);
  }
}
