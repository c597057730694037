import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import lockfile from 'proper-lockfile';

const RETRY_MS = 200;
/** How long a command that was killed keeps the next one waiting. */
const STALE_MS = 5000;

/** Runs `work` while no other `stack up` or `stack down` of the same state folder is under way; says when it has to wait. */
export async function withStackLock<T>(
  stateDir: string,
  log: (line: string) => void,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  mkdirSync(stateDir, { recursive: true });
  const release = await takeLock(stateDir, log, signal);
  try {
    return await work();
  } finally {
    await release();
  }
}

async function takeLock(stateDir: string, log: (line: string) => void, signal: AbortSignal | undefined) {
  const options = {
    lockfilePath: path.join(stateDir, 'stack.lock'),
    stale: STALE_MS,
    onCompromised: (error: Error) => log(`Another command may have taken over the stack meanwhile: ${error.message}`),
  };
  for (let waiting = false; ; waiting = true) {
    try {
      return await lockfile.lock(stateDir, options);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ELOCKED') throw error;
    }
    if (!waiting) log('waiting for another "stack up" or "stack down" to finish');
    await setTimeout(RETRY_MS, undefined, { signal });
  }
}
