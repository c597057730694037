import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const linux = process.platform === 'linux';

/** The boot of this machine: a process id means nothing outside it. */
export const BOOT = linux
  ? textOf('/proc/sys/kernel/random/boot_id').trim()
  : outputOf('sysctl', '-n', 'kern.boottime');

/** When a process started, in the system's own words: with the pid it names one process. Null when it doesn't run. */
export function startTimeOf(pid: number): string | null {
  if (!linux) return outputOf('ps', '-o', 'lstart=', '-p', `${pid}`) || null;
  const stat = statOf(pid);
  return stat === null || stat.zombie ? null : stat.startTime;
}

/** True while any process of a group runs. Zombies don't count: in a container nobody may ever collect them. */
export function isGroupRunning(group: number): boolean {
  if (!signalGroup(group, 0)) return false;
  if (!linux) return true;
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.map(statOf).some((stat) => stat !== null && stat.group === group && !stat.zombie);
}

/** Signals every process of a group; false when there is none. */
export function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/**
 * See proc(5). The name of the program comes second, in parentheses, and may hold anything. One whose first thread is dead
 * while others still hold its files and ports is no zombie yet.
 */
function statOf(pid: number): { group: number; zombie: boolean; startTime: string } | null {
  const text = textOf(`/proc/${pid}/stat`);
  if (text === '') return null;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    zombie: /[ZX]/.test(fields[0]!) && Number(fields[17]) <= 1,
    group: Number(fields[2]),
    startTime: fields[19]!,
  };
}

/** Empty when the process is gone. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function outputOf(program: string, ...args: string[]): string {
  return spawnSync(program, args, { encoding: 'utf8' }).stdout.trim();
}
