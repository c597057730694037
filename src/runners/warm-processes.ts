import { randomUUID } from 'node:crypto';
import { clearTimeout, setTimeout } from 'node:timers';
import { isFolder } from './process.js';
import type { RunNote } from './run-file.js';
import type { RunnerOptions, RunRequest, RunResult, WarmLimits, WarmRequest } from './runner.js';
import { WarmProcess, warmIdentity } from './warm-process.js';

const LIMITS: WarmLimits = { runs: 50, bytes: 1024 ** 3, idleMs: 10 * 60_000, idle: 4 };

interface Idle {
  identity: string;
  process: WarmProcess;
  timer: NodeJS.Timeout;
}

/**
 * The processes that stay: one for each environment, for Dagster each project, and more only while several runs want the same one at once.
 * Each is noted in a run file and in the launcher's care as long as it is there.
 */
export class WarmProcesses {
  private readonly limits: WarmLimits;
  /** Longest idle first. */
  private idle: Idle[] = [];
  private readonly ending = new Set<Promise<void>>();
  /** Environments that lack what is needed. */
  private readonly unsupported = new Set<string>();
  private closed = false;

  constructor(
    private readonly options: RunnerOptions,
    private readonly note: (key: string, program: string) => RunNote,
  ) {
    this.limits = { ...LIMITS, ...options.warm };
  }

  /**
   * Does the run of the request; null when none of these processes can. `isRunBy` is told which does.
   * @throws as a process's `run`.
   */
  async run(request: RunRequest, isRunBy: (pid: number) => void): Promise<RunResult | null> {
    const { warm } = request;
    if (warm === undefined || !isFolder(request.cwd) || this.unsupported.has(environmentOf(warm))) return null;
    const identity = warmIdentity(request, warm);
    for (;;) {
      const process = this.takeIdle(identity) ?? this.start(request, warm);
      const { pid } = process;
      if (pid !== null) {
        isRunBy(pid);
        request.onStart?.(pid);
      }
      try {
        const problem = await readyOrAborted(process, request.signal);
        if (problem !== null) {
          this.refuse(request, warm, problem);
          return null;
        }
        request.log.write(`# done by process ${pid}, which stays`);
        const outcome = await process.run(request, warm);
        if (!('renew' in outcome)) return outcome;
        request.log.write(`# ${outcome.renew}: another process takes its place`);
        await process.end();
      } finally {
        this.putBack(identity, process);
      }
    }
  }

  /** Ends them all. */
  async close(): Promise<void> {
    this.closed = true;
    for (const idle of this.idle.splice(0)) {
      clearTimeout(idle.timer);
      this.end(idle.process);
    }
    await Promise.all(this.ending);
  }

  private start(request: RunRequest, warm: WarmRequest): WarmProcess {
    request.signal.throwIfAborted();
    const key = `warm/${randomUUID()}`;
    const note = this.note(key, warm.python);
    const process = new WarmProcess(request, warm, key);
    if (process.pid !== null) note.isRunning(process.pid);
    process.gone.catch(() => {}).finally(() => note.remove());
    return process;
  }

  private takeIdle(identity: string): WarmProcess | undefined {
    const found = this.idle.findLast((idle) => idle.identity === identity);
    if (found === undefined) return undefined;
    this.idle = this.idle.filter((idle) => idle !== found);
    clearTimeout(found.timer);
    return found.process;
  }

  private putBack(identity: string, process: WarmProcess): void {
    const { runs, bytes, idleMs, idle: most } = this.limits;
    if (this.closed || process.runs === 0 || process.runs >= runs || process.peakBytes >= bytes || !process.isFree) {
      this.end(process);
      return;
    }
    const end = () => {
      this.takeOut(process);
      this.end(process);
    };
    const idle = { identity, process, timer: setTimeout(end, idleMs).unref() };
    process.gone.catch(() => {}).finally(() => this.takeOut(process));
    this.idle.push(idle);
    while (this.idle.length > most) {
      const [longest] = this.idle.splice(0, 1);
      clearTimeout(longest!.timer);
      this.end(longest!.process);
    }
  }

  private takeOut(process: WarmProcess): void {
    this.idle = this.idle.filter((idle) => idle.process !== process);
  }

  private end(process: WarmProcess): void {
    const ending = process
      .end()
      .catch((err) => this.options.logger.error({ err }, 'A warm process could not be ended.'))
      .finally(() => this.ending.delete(ending));
    this.ending.add(ending);
  }

  /** Said once for each environment of this worker. */
  private refuse({ log }: RunRequest, warm: WarmRequest, problem: string): void {
    const message = `No ${warm.kind} process can be kept: ${problem.trim()} The command line is used.`;
    if (!this.unsupported.has(environmentOf(warm))) {
      log.write(`# ${message}`);
      this.options.logger.warn(message);
    }
    this.unsupported.add(environmentOf(warm));
  }
}

function environmentOf({ python, kind }: WarmRequest): string {
  return `${kind} ${python}`;
}

/** A process that is told to stop while it starts is stopped before the signal's reason is thrown. */
async function readyOrAborted(process: WarmProcess, signal: AbortSignal): Promise<string | null> {
  const stop = () => void process.stop().catch(() => {});
  signal.addEventListener('abort', stop, { once: true });
  try {
    if (signal.aborted) stop();
    const problem = await process.ready;
    if (signal.aborted) await process.stop();
    signal.throwIfAborted();
    return problem;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
