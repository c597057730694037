import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';

const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const SCRIPT = path.join(packageRoot, 'dist/runners/reaper.js');
/** One that ends sooner cannot run here at all: starting it again would not help. */
const SHORTEST_LIFE_MS = 1000;

/** The worker's end of the pipe to its reaper. A reaper that is killed is replaced. */
export class ReaperPipe {
  private readonly groups = new Set<number>();
  private reaper: ChildProcess;
  private closing = false;

  constructor(private readonly logger: Logger) {
    this.reaper = this.start();
  }

  add(pgid: number): void {
    this.groups.add(pgid);
    this.tell(`+${pgid}\n`);
  }

  remove(pgid: number): void {
    this.groups.delete(pgid);
    this.tell(`-${pgid}\n`);
  }

  /** Ends the reaper, in good order: it kills nothing that has been removed. */
  async close(): Promise<void> {
    this.closing = true;
    if (this.reaper.exitCode !== null || this.reaper.signalCode !== null) return;
    const exit = once(this.reaper, 'exit');
    this.reaper.ref();
    this.reaper.stdin!.end();
    await exit;
  }

  private tell(line: string): void {
    if (this.reaper.stdin!.writable) this.reaper.stdin!.write(line);
  }

  /** In a session of its own, so that no signal to the worker's group reaches it. It does not keep the worker alive. */
  private start(): ChildProcess {
    const started = Date.now();
    const reaper = spawn(process.execPath, [SCRIPT], {
      cwd: '/',
      env: {},
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    reaper.unref();
    (reaper.stdin as Socket).unref();
    reaper.stdin!.on('error', () => {}); // its end is reported by 'exit'
    reaper.on('error', (err) => this.logger.error({ err }, 'The reaper could not be started.'));
    reaper.on('exit', () => {
      if (this.closing) return;
      if (Date.now() - started < SHORTEST_LIFE_MS) {
        this.logger.error(
          `${SCRIPT} ended at once; if this worker is killed, what it runs goes on until the next worker starts.`,
        );
        return;
      }
      this.reaper = this.start();
    });
    for (const pgid of this.groups) reaper.stdin!.write(`+${pgid}\n`);
    return reaper;
  }
}
