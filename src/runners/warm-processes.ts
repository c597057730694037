import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { clearTimeout, setTimeout } from 'node:timers';
import { isFolder } from '../is-folder.js';
import type { RunNote } from './run-file.js';
import type { ComingRun, RunnerOptions, RunRequest, RunResult, WarmLimits, WarmRequest } from './runner.js';
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
  /** What each of them is for, at work or not. */
  private readonly identities = new Map<WarmProcess, string>();
  /** Those that load what their first run begins with, by what they are for. */
  private readonly loading = new Map<string, Promise<void>>();
  private readonly closing = new AbortController();
  /** Environments that lack what is needed. */
  private readonly unsupported = new Set<string>();

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
    if (warm === undefined || !this.canDo(request, warm)) return null;
    const identity = warmIdentity(request, warm);
    await orAborted(this.loading.get(identity), request.signal);
    for (;;) {
      request.signal.throwIfAborted();
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

  /** Starts the process that a run will ask for, unless there is one, and has it load what the run begins with. */
  async prepare(run: ComingRun): Promise<void> {
    const identity = warmIdentity(run, run.warm);
    if (this.hasProcessFor(run) || this.closing.signal.aborted || !this.canDo(run, run.warm)) return;
    const process = this.start(run, run.warm);
    const loaded = this.load(process, run)
      .catch(() => {}) // the run comes upon it too, and tells
      .finally(() => {
        this.loading.delete(identity);
        this.putBack(identity, process);
      });
    this.loading.set(identity, loaded);
    await loaded;
  }

  hasProcessFor(run: Pick<ComingRun, 'env' | 'warm'>): boolean {
    return [...this.identities.values()].includes(warmIdentity(run, run.warm));
  }

  /** Ends them all. */
  async close(): Promise<void> {
    this.closing.abort();
    await Promise.all(this.loading.values());
    for (const idle of this.idle.splice(0)) {
      clearTimeout(idle.timer);
      this.end(idle.process);
    }
    await Promise.all(this.ending);
  }

  private canDo({ cwd }: Pick<RunRequest, 'cwd'>, warm: WarmRequest): boolean {
    return isFolder(cwd) && !this.unsupported.has(environmentOf(warm));
  }

  private async load(process: WarmProcess, run: ComingRun): Promise<void> {
    const { signal } = this.closing;
    if ((await readyOrAborted(process, signal)) === null) await process.load(run, signal);
  }

  private start(request: Pick<RunRequest, 'env'>, warm: WarmRequest): WarmProcess {
    const key = `warm/${randomUUID()}`;
    const note = this.note(key, warm.python);
    const process = new WarmProcess(request, warm, key);
    if (process.pid !== null) note.isRunning(process.pid);
    this.identities.set(process, warmIdentity(request, warm));
    process.gone
      .catch(() => {})
      .finally(() => {
        this.identities.delete(process);
        note.remove();
      });
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
    if (
      this.closing.signal.aborted ||
      process.runs === 0 ||
      process.runs >= runs ||
      process.peakBytes >= bytes ||
      !process.isFree
    ) {
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

/** Waits, but no longer than until the signal. */
async function orAborted(waited: Promise<void> | undefined, signal: AbortSignal): Promise<void> {
  if (waited === undefined || signal.aborted) return;
  const done = new AbortController();
  const aborted = once(signal, 'abort', { signal: done.signal }).catch(() => {}); // by `done`
  await Promise.race([waited, aborted]);
  done.abort();
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
