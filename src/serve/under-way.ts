import type { NextFunction, Request, Response } from 'express';
import { errorBody } from './errors.js';

/** Knows the requests that are being answered, so that a shutdown can wait for them. */
export class UnderWay {
  private readonly responses = new Set<Response>();
  private settled: (() => void) | null = null;

  constructor(private readonly shuttingDown: AbortSignal) {}

  /** Takes no further request once the server is shutting down. */
  readonly track = (_request: Request, response: Response, next: NextFunction): void => {
    if (this.shuttingDown.aborted) {
      const message = 'The server is shutting down: send this to another one, or again later.';
      response.status(503).set('Connection', 'close').json(errorBody('SHUTTING_DOWN', message));
      return;
    }
    this.responses.add(response);
    response.once('close', () => {
      this.responses.delete(response);
      if (this.responses.size === 0) this.settled?.();
    });
    next();
  };

  /** Returns when every request that was taken is answered. */
  async none(): Promise<void> {
    if (this.responses.size === 0) return;
    await new Promise<void>((resolve) => {
      this.settled = resolve;
    });
  }
}
