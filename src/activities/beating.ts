import { setInterval } from 'node:timers';
import { Context } from '@temporalio/activity';

const HEARTBEAT_MS = 1000;

/** An activity that beats while it works, so that it is given to another worker soon when its own is lost. */
export function beating<A extends unknown[], R>(work: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  return async (...args) => {
    const context = Context.current();
    const beat = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
    try {
      return await work(...args);
    } finally {
      clearInterval(beat);
    }
  };
}
