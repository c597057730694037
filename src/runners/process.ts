import { setTimeout } from 'node:timers/promises';
import { isFolder } from '../is-folder.js';
import { LaunchError, type Launched, type LauncherPipe } from './launcher-pipe.js';
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
 * @throws MissingExecutableError, LostProgramError, or the signal's reason once the group is gone.
 */
export async function runProcess(
  request: RunRequest,
  launcher: LauncherPipe,
  onSpawn: (pid: number) => void,
): Promise<RunResult> {
  const { log, signal } = request;
  signal.throwIfAborted();
  const child = await launch(request, launcher);
  const { pid } = child;
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= stopGroup(pid);
    stopping.catch(() => {}); // awaited below
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
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
  async function groupOf(pid: number): Launched['exit'] {
    try {
      onSpawn(pid);
      request.onStart?.(pid);
      return await child.exit;
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

async function launch({ argv, cwd, env }: RunRequest, launcher: LauncherPipe): Promise<Launched> {
  const [program = '', ...args] = argv;
  try {
    return await launcher.launch({ program, args, cwd, env: { ...inheritedEnvironment(), ...env } });
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    if (!isFolder(cwd)) throw new MissingExecutableError(`The folder ${cwd} to run ${program} in is not there.`);
    if (error.code === 'ENOENT')
      throw new MissingExecutableError(
        `The program ${program} was not found: install it, or correct its name or path.`,
      );
    if (error.code === 'EACCES')
      throw new MissingExecutableError(
        `The program ${program} may not be run: check that it is a file with execute permission.`,
      );
    throw new Error(`The program ${program} could not be started: ${error.message}.`);
  }
}
