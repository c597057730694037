import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout } from 'node:timers/promises';

/** How long a process may take to end by itself before it is killed. */
const GRACE_MS = 5000;
const LONGEST_POLL_MS = 100;

const linux = process.platform === 'linux';

/** The machine and its boot: a process id means nothing outside both. */
export const HOST = hostname();
export const BOOT = bootId();

/** When a process started, in the system's own words: with the pid it names one process. Null when it is not running. */
export function startTimeOf(pid: number): string | null {
  if (!linux) return ps(['-o', 'lstart=', '-p', `${pid}`]).trim() || null;
  const stat = statOf(pid);
  return stat === null || stat.zombie ? null : stat.startTime;
}

/** Stops the group and waits until none of it runs: SIGTERM, and SIGKILL after five seconds. */
export function stopGroup(pgid: number): Promise<void> {
  return stopAll(() => (isGroupRunning(pgid) ? [-pgid] : []));
}

/** Stops every process that a worker of the state directory started for the step key, whatever group it is in now, and waits until it is gone. */
export function stopProcessesOf(stateDir: string, key: string): Promise<void> {
  return stopAll(() => processesOf(stateDir, key));
}

/** `running` gives what still runs each time it is asked; a group is its id, negated, as for kill(2). */
async function stopAll(running: () => number[]): Promise<void> {
  const told = new Set<number>();
  const deadline = Date.now() + GRACE_MS;
  for (let pause = 5; ; pause = Math.min(pause * 2, LONGEST_POLL_MS)) {
    const targets = running();
    if (targets.length === 0) return;
    const patient = Date.now() < deadline;
    for (const target of targets) {
      if (!patient) send(target, 'SIGKILL');
      else if (!told.has(target)) send(target, 'SIGTERM');
      told.add(target);
    }
    await setTimeout(pause);
  }
}

/** Signals a process, or with a negated id every process of a group; false when there is none. */
export function send(target: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(target, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Zombies do not count: they write nothing, and in a container nobody may ever collect them. */
export function isGroupRunning(pgid: number): boolean {
  if (!send(-pgid, 0)) return false;
  if (!linux) return true;
  return pids().some((pid) => {
    const stat = statOf(pid);
    return stat !== null && stat.pgid === pgid && !stat.zombie;
  });
}

/**
 * Ids of the processes of a group besides its leader; Python's own clerk for shared memory, which lives as long as its Python,
 * is none. Known on Linux only.
 */
export function othersInGroup(pgid: number): number[] {
  if (!linux) return [];
  return pids().filter((pid) => {
    const stat = pid === pgid ? null : statOf(pid);
    return stat?.pgid === pgid && !stat.zombie && !textOf(`/proc/${pid}/cmdline`).includes('resource_tracker');
  });
}

/** Found by two variables of their environment, which only Linux shows. Another state directory has steps of the same key. */
function processesOf(stateDir: string, key: string): number[] {
  if (!linux) return [];
  const marks = [`\0DAYFILL_KEY=${key}\0`, `\0DAYFILL_STATE_DIR=${stateDir}\0`];
  return pids().filter((pid) => {
    if (pid === process.pid) return false;
    const environment = `\0${textOf(`/proc/${pid}/environ`)}`;
    return marks.every((mark) => environment.includes(mark));
  });
}

function pids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

/**
 * See proc(5). The name of the program comes second, in parentheses, and may contain anything. One whose first thread is dead
 * while others still hold its files and ports is no zombie yet.
 */
function statOf(pid: number): { pgid: number; zombie: boolean; startTime: string } | null {
  const text = textOf(`/proc/${pid}/stat`);
  if (text === '') return null;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    zombie: /[ZX]/.test(fields[0]!) && Number(fields[17]) <= 1,
    pgid: Number(fields[2]),
    startTime: fields[19]!,
  };
}

/** Empty when the process is gone, or another user's. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function ps(args: string[]): string {
  return spawnSync('ps', args, { encoding: 'utf8' }).stdout;
}

function bootId(): string {
  if (linux) return textOf('/proc/sys/kernel/random/boot_id').trim();
  return spawnSync('sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8' }).stdout.trim();
}
