import { LauncherPipe } from './launcher-pipe.js';
import { runProcess } from './process.js';
import { BOOT, HOST, startTimeOf, stopGroup, stopProcessesOf } from './processes.js';
import { RunFiles, type RunNote, type RunRecord } from './run-file.js';
import type { ComingRun, Runner, RunnerOptions, RunRequest, RunResult } from './runner.js';
import { WarmProcesses } from './warm-processes.js';

/**
 * The runner of a worker: a process per run, or one that stays where the request allows it; noted in a run file and in the
 * launcher's care as long as it lasts.
 */
export function createRunner(options: RunnerOptions): Runner {
  return new ProcessRunner(options);
}

/** A run of this worker, for a later attempt to take over. */
interface LiveRun {
  stop(): void;
  ended: Promise<unknown>;
}

class TakenOver extends Error {
  constructor(key: string) {
    super(`A later attempt took over ${key}.`);
  }
}

class ProcessRunner implements Runner {
  private readonly live = new Map<string, LiveRun>();
  private readonly files: RunFiles;
  private readonly launcher: LauncherPipe;
  private readonly warm: WarmProcesses;
  private readonly workerStartTime = startTimeOf(process.pid) ?? '';

  constructor(private readonly options: RunnerOptions) {
    this.files = new RunFiles(options.stateDir);
    this.launcher = new LauncherPipe(options.logger);
    this.warm = new WarmProcesses(options, (key, program) => this.note(key, program));
  }

  async run(request: RunRequest): Promise<RunResult> {
    const { key } = request;
    while (this.live.has(key) || this.files.read(key) !== null) await this.takeOver(key);
    const takenOver = new AbortController();
    const signal = AbortSignal.any([request.signal, takenOver.signal]);
    const ended = this.runNoted({ ...request, signal });
    const mine = { stop: () => takenOver.abort(new TakenOver(key)), ended: ended.catch(() => {}) };
    this.live.set(key, mine);
    try {
      return await ended;
    } finally {
      if (this.live.get(key) === mine) this.live.delete(key);
    }
  }

  prepare(run: ComingRun): Promise<void> {
    return this.warm.prepare(run);
  }

  hasProcessFor(run: Pick<ComingRun, 'env' | 'warm'>): boolean {
    return this.warm.hasProcessFor(run);
  }

  async takeOver(key: string): Promise<void> {
    const mine = this.live.get(key);
    mine?.stop();
    await mine?.ended;
    const record = this.files.read(key);
    if (record !== null) await this.stopNoted(record);
    await stopProcessesOf(this.options.stateDir, key);
    this.files.remove(key);
  }

  async sweep(): Promise<void> {
    const orphans = this.files.all().filter((record) => record.host === HOST && !isWorkerAlive(record));
    await Promise.all(orphans.map((record) => this.takeOver(record.key)));
  }

  async close(): Promise<void> {
    await this.warm.close();
    await this.launcher.close();
  }

  private async runNoted(request: RunRequest): Promise<RunResult> {
    const note = this.note(request.key, request.argv[0] ?? '');
    try {
      return (await this.warm.run(request, note.isRunBy)) ?? (await runProcess(request, this.launcher, note.isRunning));
    } finally {
      note.remove();
    }
  }

  /** Notes a run, first without a process; in the launcher's care it is from the moment that it has one of its own. */
  private note(key: string, program: string): RunNote {
    const record: RunRecord = {
      key,
      pid: null,
      startTime: null,
      host: HOST,
      boot: BOOT,
      program,
      workerPid: process.pid,
      workerStartTime: this.workerStartTime,
    };
    const isRunBy = (pid: number) => this.files.write({ ...record, pid, startTime: startTimeOf(pid) });
    let group: number | null = null;
    this.files.write(record);
    return {
      isRunBy,
      isRunning: (pid) => {
        group = pid;
        this.launcher.add(pid);
        isRunBy(pid);
      },
      remove: () => {
        if (group !== null) this.launcher.remove(group);
        this.files.remove(key);
      },
    };
  }

  private async stopNoted(record: RunRecord): Promise<void> {
    if (!isHere(record)) {
      if (record.host !== HOST) {
        this.options.logger.warn(
          { key: record.key },
          `An earlier attempt ran on ${record.host}: what it left there cannot be stopped from here.`,
        );
      }
      return;
    }
    // The leader may be gone and others of its group not; a group's id is not given to another process while they live.
    const { pid, startTime } = record;
    if (pid === null) return;
    const current = startTimeOf(pid);
    if (current === null || current === startTime) await stopGroup(pid);
  }
}

function isHere({ host, boot }: RunRecord): boolean {
  return host === HOST && boot === BOOT;
}

function isWorkerAlive({ boot, workerPid, workerStartTime }: RunRecord): boolean {
  return boot === BOOT && startTimeOf(workerPid) === workerStartTime;
}
