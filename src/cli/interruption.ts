/** Ctrl-C ends the following, not what is followed; a second one ends the command at once, as usual. */
export class Interruption {
  exitCode = 0;
  private readonly following = new AbortController();

  constructor() {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      process.once(signal, () => {
        this.exitCode = code;
        this.following.abort();
      });
    }
  }

  get signal(): AbortSignal {
    return this.following.signal;
  }
}
