import { setTimeout } from 'node:timers/promises';
import { isGroupRunning, send, startTimeOf } from '../runners/processes.js';
import { StackError } from './errors.js';
import type { Service } from './service.js';
import type { StackEntry } from './state-file.js';

const POLL_MS = 20;
/** What outlives a service's leader gets this long, and what was killed as long again to be gone. */
const REST_MS = 3000;

/** True when the process that was recorded still runs. */
export function isRunning({ pid, startTime }: Pick<StackEntry, 'pid' | 'startTime'>): boolean {
  return startTimeOf(pid) === startTime;
}

/**
 * Ends a service and waits until nothing of its group runs: the leader is asked first and given its time, then the rest
 * of the group, then all of it is killed. Safe for one that is gone, and for a pid that is someone else's by now.
 */
export async function stopService(service: Service, entry: Pick<StackEntry, 'pid' | 'startTime'>): Promise<void> {
  if (isRunning(entry)) {
    process.kill(entry.pid, 'SIGTERM');
    await until(() => !isRunning(entry), service.stopWithinMs);
  }
  // A group's id is not given to another process while one of the group lives.
  const current = startTimeOf(entry.pid);
  if (current !== null && current !== entry.startTime) return;
  const isGone = () => !isGroupRunning(entry.pid);
  if (current === null && !isGone()) {
    send(-entry.pid, 'SIGTERM');
    await until(isGone, REST_MS);
  }
  if (isGone()) return;
  send(-entry.pid, 'SIGKILL');
  if (!(await until(isGone, REST_MS))) {
    throw new StackError(`${service.name} (process group ${entry.pid}) does not end, not even by SIGKILL: look at it.`);
  }
}

async function until(condition: () => boolean, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs;
  while (!condition()) {
    if (Date.now() > deadline) return false;
    await setTimeout(POLL_MS);
  }
  return true;
}
