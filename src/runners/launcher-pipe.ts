import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { FromLauncher, StartMessage, ToLauncher } from './launcher.js';
import { eachLine } from './lines.js';
import { LostProgramError } from './runner.js';

const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const SCRIPT = path.join(packageRoot, 'dist/runners/launcher.js');
/** One that ends sooner cannot run here at all: starting it again would not help. */
const SHORTEST_LIFE_MS = 1000;

/** A program that runs, in a process group of its own. */
export interface Launched {
  /** The group's id too. */
  pid: number;
  stdout: Readable;
  stderr: Readable;
  /** How it ended; rejected when that cannot be known any more. */
  exit: Promise<[exitCode: number | null, killedBy: NodeJS.Signals | null]>;
}

/** The program could not be started; `code` is the system's, such as ENOENT. */
export class LaunchError extends Error {
  override name = 'LaunchError';
  constructor(
    message: string,
    readonly code: string | undefined,
  ) {
    super(message);
  }
}

/** What is to be told to whoever launched a program. */
interface Launch {
  started(pid: number): void;
  failed(error: Error): void;
  ended: (...how: Awaited<Launched['exit']>) => void;
}

/** The worker's end of the pipe to its launcher. A launcher that is killed is replaced; what it started is stopped. */
export class LauncherPipe {
  private readonly groups = new Set<number>();
  private readonly launches = new Map<number, Launch>();
  private launched = 0;
  private awaited = 0;
  private launcher!: ChildProcess;
  /** Where it listens. */
  private socket!: Promise<string>;
  private closing = false;

  constructor(private readonly logger: Logger) {
    this.startLauncher();
  }

  /**
   * Starts a program.
   * @throws LaunchError
   */
  async launch(program: Omit<StartMessage, 'start'>): Promise<Launched> {
    this.stayAlive(1);
    const socket = await this.socket.finally(() => this.stayAlive(-1));
    const id = this.launched++;
    const [stdout, stderr] = [connect(socket), connect(socket)];
    stdout.write(`${id} stdout`);
    stderr.write(`${id} stderr`);
    try {
      return await new Promise((resolve, reject) => {
        const exit = new Promise<Awaited<Launched['exit']>>((resolveExit, rejectExit) => {
          const failed = (error: Error) => {
            reject(error);
            rejectExit(error);
          };
          const started = (pid: number) => resolve({ pid, stdout, stderr, exit });
          this.launches.set(id, { started, failed, ended: (...how) => resolveExit(how) });
          const unreachable = ({ message }: Error) => reject(new LaunchError(message, undefined));
          stdout.on('error', unreachable);
          stderr.on('error', unreachable);
        });
        this.stayAlive(1);
        exit.catch(() => {}).finally(() => this.stayAlive(-1));
        this.tell({ start: id, ...program });
      });
    } catch (error) {
      stdout.destroy();
      stderr.destroy();
      throw error;
    }
  }

  /** Has a group killed when the worker dies; that of a program that it launched is. */
  add(pgid: number): void {
    this.groups.add(pgid);
    this.tell({ add: pgid });
  }

  remove(pgid: number): void {
    this.groups.delete(pgid);
    this.tell({ remove: pgid });
  }

  /** Ends the launcher, in good order: it kills nothing that has been removed. */
  async close(): Promise<void> {
    this.closing = true;
    if (this.launcher.exitCode !== null || this.launcher.signalCode !== null) return;
    const exit = once(this.launcher, 'exit');
    this.launcher.ref();
    this.launcher.stdin!.end();
    await exit;
  }

  /** What is waited for keeps this process alive; the launcher alone does not. */
  private stayAlive(more: 1 | -1): void {
    this.awaited += more;
    const { stdout } = this.launcher;
    if (this.awaited > 0) (stdout as Socket).ref();
    else (stdout as Socket).unref();
  }

  private tell(message: ToLauncher): void {
    if (this.launcher.stdin!.writable) this.launcher.stdin!.write(`${JSON.stringify(message)}\n`);
  }

  /** In a session of its own, so that no signal to the worker's group reaches it. It does not keep the worker alive. */
  private startLauncher(): void {
    const started = Date.now();
    const launcher = spawn(process.execPath, [SCRIPT, tmpdir(), ...[...this.groups].map(String)], {
      cwd: '/',
      env: {},
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.launcher = launcher;
    launcher.unref();
    (launcher.stdin as Socket).unref();
    (launcher.stdout as Socket).unref();
    launcher.stdin!.on('error', () => {}); // its end is reported by 'exit'
    launcher.on('error', (err) => this.logger.error({ err }, 'The launcher could not be started.'));
    this.socket = new Promise((resolve, reject) => {
      const ended = () => reject(new Error(`${SCRIPT}, which starts programs, ended at once.`));
      launcher.on('error', ended).on('exit', ended);
      void eachLine(
        launcher.stdout!,
        (line) => {
          const message = JSON.parse(line) as FromLauncher;
          if ('listening' in message) resolve(message.listening);
          else this.onMessage(message);
        },
        () => undefined,
      ).catch(() => {});
    });
    this.socket.catch(() => {}); // told to whoever launches
    launcher.on('exit', () => {
      // One that is killed leaves its socket behind.
      this.socket.then((socket) => rm(path.dirname(socket), { recursive: true, force: true })).catch(() => {});
      for (const { failed } of this.launches.values()) failed(new LostProgramError());
      this.launches.clear();
      if (this.closing) return;
      if (Date.now() - started < SHORTEST_LIFE_MS)
        this.logger.error(`${SCRIPT} ended at once: this worker cannot start programs.`);
      else this.startLauncher();
    });
  }

  private onMessage(message: Exclude<FromLauncher, { listening: string }>): void {
    if ('started' in message) {
      this.launches.get(message.started)?.started(message.pid);
      return;
    }
    const id = 'failed' in message ? message.failed : message.ended;
    const launch = this.launches.get(id);
    this.launches.delete(id);
    if ('failed' in message) launch?.failed(new LaunchError(message.message, message.code));
    else launch?.ended(message.exitCode, message.killedBy);
  }
}
