import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { eachLine } from './lines.js';
import type { LogFile } from './log-file.js';
import { stopGroup } from './processes.js';
import { MissingExecutableError, type RunRequest, type RunResult } from './runner.js';

/** What every program needs; all else a process gets is in the request. */
const INHERITED = /^(?:PATH|HOME|LANG|LC_.*|TMPDIR|USER)$/;
/** A program that left the group may hold the output open: what it writes after this is not waited for. */
export const LAST_OUTPUT_MS = 2000;

/**
 * Runs a program in a process group of its own and streams its output to the log. `onSpawn` is called with the pid, which
 * is the group's id too, before anything else can happen. When the program ends, or the signal aborts, all of the group ends.
 * @throws MissingExecutableError, or the signal's reason once the group is gone.
 */
export async function runProcess(request: RunRequest, onSpawn: (pid: number) => void): Promise<RunResult> {
  const { argv, cwd, env, log, signal } = request;
  const [program = '', ...args] = argv;
  signal.throwIfAborted();
  const child = execa(program, args, {
    cwd,
    env: { ...inheritedEnvironment(), ...env },
    extendEnv: false,
    detached: true,
    cleanup: false,
    stdin: 'ignore',
    buffer: false,
    reject: false,
  });
  const { pid } = child;
  if (pid === undefined) throw startError(await child, program, cwd);
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= stopGroup(pid);
    stopping.catch(() => {}); // awaited below
  };
  signal.addEventListener('abort', stop, { once: true });
  const exit = once(child, 'exit');
  const output = Promise.all([
    eachLine(child.stdout, copyTo(log, request.onStdoutLine), () => log.drained()),
    eachLine(child.stderr, copyTo(log, request.onStderrLine), () => log.drained()),
  ]);
  output.catch(stop);
  try {
    const [exitCode, killedBy] = await groupOf(pid);
    await Promise.race([output, setTimeout(LAST_OUTPUT_MS, undefined, { ref: false })]);
    if (stopping !== undefined) signal.throwIfAborted();
    return { exitCode, killedBy };
  } finally {
    signal.removeEventListener('abort', stop);
    child.stdout.destroy();
    child.stderr.destroy();
  }

  /** Returns how the program ended, once all of its group has. */
  async function groupOf(pid: number): Promise<[number | null, NodeJS.Signals | null]> {
    try {
      onSpawn(pid);
      request.onStart?.(pid);
      return (await exit) as [number | null, NodeJS.Signals | null];
    } finally {
      signal.removeEventListener('abort', stop);
      await (stopping ?? stopGroup(pid));
    }
  }
}

/** The part of this process's environment that every program gets. */
export function inheritedEnvironment(): Record<string, string> {
  const entries = Object.entries(process.env).filter(([name]) => INHERITED.test(name));
  return Object.fromEntries(entries) as Record<string, string>;
}

/** A line goes to the log as `onLine` gives it back; null for nothing. */
export function copyTo(log: LogFile, onLine = (line: string): string | null => line): (line: string) => void {
  return (line) => {
    const kept = onLine(line);
    if (kept !== null) log.write(kept);
  };
}

function startError(result: object, program: string, cwd: string): Error {
  const { code, originalMessage } = result as { code?: string; originalMessage?: string };
  if (originalMessage?.includes('cwd') || code === 'ENOTDIR')
    return new MissingExecutableError(`The folder ${cwd} to run ${program} in is not there.`);
  if (code === 'ENOENT')
    return new MissingExecutableError(`The program ${program} was not found: install it, or correct its name or path.`);
  if (code === 'EACCES')
    return new MissingExecutableError(
      `The program ${program} may not be run: check that it is a file with execute permission.`,
    );
  return new Error(`The program ${program} could not be started: ${originalMessage ?? code}.`);
}
