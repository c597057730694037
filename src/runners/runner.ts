import type { Logger } from 'pino';
import type { Json } from '../contracts/step.js';
import type { LogFile } from './log-file.js';

/** How a process that stays does what a program would; see warehouse/runner/README.md. */
export interface WarmRequest {
  /** The Python of the step's environment. */
  python: string;
  kind: 'dbt' | 'dagster';
  /** What such a process is kept for, such as a Dagster project, where it can be had for that only; it shows in its command line. */
  of: readonly string[];
  ask: Json;
}

/** What is to run. */
export interface RunRequest {
  /** The program and its arguments; no shell reads them. */
  argv: readonly string[];
  /** Absolute. */
  cwd: string;
  /** Everything that the process finds in its environment besides the few variables that every program needs. */
  env: Readonly<Record<string, string>>;
  /** The step's key: what the run is known by. One run at a time has it. */
  key: string;
  /** Takes stdout and stderr, in the order they arrive. */
  log: LogFile;
  /** Stops the run: the whole process group ends before `run` throws the signal's reason. */
  signal: AbortSignal;
  /** Sees each line of stdout, and returns what the log is to have instead; null for nothing. */
  onStdoutLine?: ((line: string) => string | null) | undefined;
  onStderrLine?: ((line: string) => string | null) | undefined;
  /** A process that stays may do it instead, and says the same lines; without one that can, the program runs. */
  warm?: WarmRequest | undefined;
  /** Called once the process is there. */
  onStart?: ((pid: number) => void) | undefined;
}

/** What is known of a run before it begins, where a process that stays can do it. */
export type ComingRun = Pick<RunRequest, 'cwd' | 'env'> & { warm: WarmRequest };

/** How it ended by itself. */
export interface RunResult {
  /** Null when a signal ended it. */
  exitCode: number | null;
  killedBy: NodeJS.Signals | null;
}

/** The program cannot be started: it, or the folder to start it in, is missing or not allowed. */
export class MissingExecutableError extends Error {
  override name = 'MissingExecutableError';
}

/** How the program ended cannot be known, because what started it was killed; it has been stopped. */
export class LostProgramError extends Error {
  override name = 'LostProgramError';
  constructor() {
    super('What started the program was killed, so that its end cannot be known: it was stopped.');
  }
}

/** Runs what steps need run; the same seam for a process per run and for a warm one. */
export interface Runner {
  /**
   * Runs to the end. Whatever an earlier run left behind under the same key is stopped first.
   * @throws MissingExecutableError, LostProgramError, or the signal's reason once everything has stopped.
   */
  run(request: RunRequest): Promise<RunResult>;
  /**
   * Has a process that stays start, unless there is one for such runs, and load what it can before the run itself. What goes
   * wrong is left for the run to tell; resolves when nothing more will come of it.
   */
  prepare(run: ComingRun): Promise<void>;
  /** Whether there is such a process, at work or not. */
  hasProcessFor(run: Pick<ComingRun, 'env' | 'warm'>): boolean;
  /** Stops whatever an earlier attempt left running under the key, here or by a dead worker, and waits until it is gone. */
  takeOver(key: string): Promise<void>;
  /** Stops whatever dead workers of this state directory left running. */
  sweep(): Promise<void>;
  /** To be called when nothing runs any more. */
  close(): Promise<void>;
}

export interface RunnerOptions {
  stateDir: string;
  logger: Logger;
  warm?: Partial<WarmLimits> | undefined;
}

/** How long a process stays. */
export interface WarmLimits {
  /** Runs, after which another process takes its place. */
  runs: number;
  /** Memory that it may have held at its most. */
  bytes: number;
  /** Time without anything to do. */
  idleMs: number;
  /** Processes that may be there without anything to do; the one that waits longest ends first. */
  idle: number;
}
