import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { startTimeOf } from '../runners/processes.js';
import { DiedAtStart, StackError } from './errors.js';
import { logFileOf } from './places.js';
import type { Launch, Running, Service, Surroundings } from './service.js';

const POLL_MS = 50;
const TAIL_LINES = 8;

/** A process that was started for a service, in a group of its own, with its output in the service's log. */
export interface Started {
  pid: number;
  startTime: string;
  /** Gives the exit code or the signal, when it ended. */
  ended(): string | null;
  /** The last lines that it wrote. */
  tail(): string;
}

export function spawnService(service: Service, launch: Launch, { config, environment }: Surroundings): Started {
  const logFile = logFileOf(config.stateDir, service.name);
  for (const folder of [path.dirname(logFile), ...(launch.folders ?? [])]) mkdirSync(folder, { recursive: true });
  const log = openSync(logFile, 'a');
  const logStart = statSync(logFile).size;
  const child = spawn(launch.program, launch.args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...environment, ...launch.environment },
  });
  closeSync(log);
  child.unref();
  let ended: string | null = null;
  child.on('exit', (code, signal) => {
    ended = signal ?? `exit code ${code}`;
  });
  child.on('error', (error) => {
    ended = error.message;
  });
  if (child.pid === undefined)
    throw new StackError(`${service.name} cannot be started: ${launch.program} does not run.`);
  return {
    pid: child.pid,
    startTime: startTimeOf(child.pid) ?? '',
    ended: () => ended,
    tail: () => {
      const lines = readFileSync(logFile).subarray(logStart).toString().trimEnd().split('\n');
      return `${lines.slice(-TAIL_LINES).join('\n')}\n(${logFile})`;
    },
  };
}

/**
 * Waits until a service that was just started works.
 * @throws DiedAtStart when it ended, StackError when it takes longer than it may.
 */
export async function waitUntilHealthy(
  service: Service,
  surroundings: Surroundings,
  started: Started,
  running: Running,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = Date.now() + service.startWithinMs;
  while (!(await service.isHealthy(surroundings, running))) {
    signal?.throwIfAborted();
    const ended = started.ended();
    if (ended !== null) throw new DiedAtStart(`${service.name} ended at its start (${ended}):\n${started.tail()}`);
    if (Date.now() > deadline) {
      const seconds = service.startWithinMs / 1000;
      throw new StackError(`${service.name} does not answer ${seconds} s after its start:\n${started.tail()}`);
    }
    await setTimeout(POLL_MS, undefined, { signal });
  }
}
