import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Json } from '../contracts/step.js';
import { eachLine } from './lines.js';
import { copyTo, inheritedEnvironment, LAST_OUTPUT_MS } from './process.js';
import { isGroupRunning, othersInGroup, stopGroup } from './processes.js';
import type { ComingRun, RunRequest, RunResult, WarmRequest } from './runner.js';

const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const SCRIPT = path.join(packageRoot, 'warehouse/runner/run.py');

/** What differs between the runs of one process; all else of the environment is the same. warehouse/runner has the list too. */
const PER_RUN: ReadonlySet<string> = new Set([
  'DAYFILL_KEY',
  'DAYFILL_LABELS',
  'DBT_TARGET_PATH',
  'DBT_LOG_PATH',
  'DAYFILL_PROTECTION',
]);

/** What such a process says of itself, among the lines of what it runs. */
const eventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('ready') }),
  z.object({ event: z.literal('unsupported'), message: z.string() }),
  z.object({ event: z.literal('renew'), message: z.string() }),
  z.object({ event: z.literal('end'), mark: z.string(), exitCode: z.number(), peakBytes: z.number() }),
]);
type WarmEvent = z.infer<typeof eventSchema>;
const SAYS_OF_ITSELF = /^\{"event": "(?:ready|unsupported|renew|end)"/;

/** The environment of a run as a whole. */
function environmentOf({ env }: Pick<RunRequest, 'env'>): Record<string, string> {
  return { ...inheritedEnvironment(), ...env };
}

/** What all runs of one process have in common: its program with arguments, and its environment. */
export function warmIdentity(run: Pick<RunRequest, 'env'>, { python, kind, of }: WarmRequest): string {
  const env = Object.entries(environmentOf(run)).filter(([name]) => !PER_RUN.has(name));
  return JSON.stringify([python, kind, of, env.sort()]);
}

/** How it ended, or why it did not begin: `renew` says that this process is outdated. */
export type WarmOutcome = RunResult | { renew: string };

/** Where lines go. */
interface Output {
  stdout(line: string): void;
  stderr(line: string): void;
  drained(): Promise<void>;
}

/** What is under way: where its lines go, and what is known of its end. */
interface Run extends Output {
  mark: string;
  ended(outcome: WarmOutcome): void;
  /** Of the two streams, those that have come to its end. */
  atEnd: { stdout: number | null; stderr: boolean };
}

/** A process of warehouse/runner that stays, in a group of its own; it does one run at a time. */
export class WarmProcess {
  /** How many runs it has done. */
  runs = 0;
  /** The most memory that it has held. */
  peakBytes = 0;
  /** Resolves when it is there no more, with all that it said. */
  readonly gone: Promise<RunResult>;
  /** Null once it can be asked; or why it cannot. */
  readonly ready: Promise<string | null>;
  readonly pid: number | null;
  private readonly child: ChildProcess;
  private run_: Run | null = null;
  private lastError = '';
  private tellReady!: (problem: string | null) => void;

  constructor(request: Pick<RunRequest, 'env'>, { python, kind, of }: WarmRequest, key: string) {
    const env = Object.entries(environmentOf(request)).filter(([name]) => !PER_RUN.has(name));
    this.child = spawn(python, [SCRIPT, 'warm', kind, ...of], {
      cwd: '/',
      env: { ...Object.fromEntries(env), DAYFILL_KEY: key },
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.pid = this.child.pid ?? null;
    this.ready = new Promise((resolve) => {
      this.tellReady = resolve;
    });
    this.child.stdin!.on('error', () => {}); // its end is told by `gone`
    this.gone = this.followed(python);
    this.gone.catch(() => {});
  }

  /** Whether it can be asked again: it runs, and the last run left nothing else running in its group. */
  get isFree(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null && othersInGroup(this.pid!).length === 0;
  }

  /**
   * Does the run of the request.
   * @throws the signal's reason, or what looking at a line threw, once nothing of its group runs.
   */
  run(request: RunRequest, { ask }: WarmRequest): Promise<WarmOutcome> {
    const { log } = request;
    return this.done(request, { ask }, request.signal, {
      stdout: copyTo(log, request.onStdoutLine),
      stderr: copyTo(log, request.onStderrLine),
      drained: () => log.drained(),
    });
  }

  /**
   * Loads what such a run would begin with; what is said of it goes nowhere.
   * @throws as `run`.
   */
  async load(run: ComingRun, signal: AbortSignal): Promise<void> {
    const nowhere = { stdout: () => {}, stderr: () => {}, drained: async () => {} };
    await this.done(run, { ask: run.warm.ask, only: 'load' }, signal, nowhere);
  }

  private async done(
    { cwd, env }: Pick<RunRequest, 'cwd' | 'env'>,
    asked: { ask: Json; only?: 'load' },
    signal: AbortSignal,
    { stdout, stderr, drained }: Output,
  ): Promise<WarmOutcome> {
    signal.throwIfAborted();
    let failure: { error: unknown } | null = null;
    const stop = () => void this.stop().catch(() => {});
    const guarded = (take: (line: string) => void) => (line: string) => {
      try {
        if (failure === null) take(line);
      } catch (error) {
        failure = { error };
        stop();
      }
    };
    const mark = randomUUID();
    const ended = new Promise<WarmOutcome>((resolve) => {
      this.run_ = {
        mark,
        stdout: guarded(stdout),
        stderr: guarded(stderr),
        drained,
        ended: resolve,
        atEnd: { stdout: null, stderr: false },
      };
    });
    signal.addEventListener('abort', stop, { once: true });
    try {
      this.child.stdin!.write(`${JSON.stringify({ mark, cwd, env: environmentOf({ env }), ...asked })}\n`);
      const outcome = await Promise.race([ended, this.gone]);
      this.runs++;
      if (failure !== null || signal.aborted) await this.stop();
      if (failure !== null) throw (failure as { error: unknown }).error;
      signal.throwIfAborted();
      return outcome;
    } finally {
      signal.removeEventListener('abort', stop);
      this.run_ = null;
    }
  }

  /** Stops it and everything of its group. */
  async stop(): Promise<void> {
    if (this.pid === null) return;
    if (isGroupRunning(this.pid)) await stopGroup(this.pid);
    await this.gone.catch(() => {});
  }

  /** Lets it end by itself, as it does without work, and stops what does not. */
  async end(): Promise<void> {
    this.child.stdin!.end();
    await Promise.race([this.gone.catch(() => {}), setTimeout(LAST_OUTPUT_MS, undefined, { ref: false })]);
    await this.stop();
  }

  private async followed(python: string): Promise<RunResult> {
    const { child } = this;
    const drained = () => this.run_?.drained();
    const output = Promise.all([
      eachLine(child.stdout as Readable, (line) => this.onStdout(line), drained),
      eachLine(child.stderr as Readable, (line) => this.onStderr(line), drained),
    ]).catch(() => {}); // a stream that breaks is at its end
    try {
      const [exitCode, killedBy] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      // What it left running may hold its output open.
      if (this.pid !== null) await stopGroup(this.pid);
      await Promise.race([output, setTimeout(LAST_OUTPUT_MS, undefined, { ref: false })]);
      this.tellReady(
        `it ended ${killedBy === null ? `with exit code ${exitCode}` : `by ${killedBy}`}. ${this.lastError}`,
      );
      return { exitCode, killedBy };
    } catch (error) {
      this.tellReady(`${python} could not be started: ${(error as Error).message}`);
      throw error;
    } finally {
      for (const stream of [child.stdin, child.stdout, child.stderr] as (Readable | Writable)[]) stream.destroy();
    }
  }

  private onStdout(line: string): void {
    const run = this.run_;
    const said = saidOfItself(line);
    if (said === null) run?.stdout(line);
    else if (said.event === 'ready') this.tellReady(null);
    else if (said.event === 'unsupported') this.tellReady(said.message);
    else if (said.event === 'renew') run?.ended({ renew: said.message });
    else if (run !== null && said.mark === run.mark) {
      run.atEnd.stdout = said.exitCode;
      this.peakBytes = said.peakBytes;
      this.tellEnd(run);
    }
  }

  private onStderr(line: string): void {
    const run = this.run_;
    if (run !== null && line.endsWith(run.mark)) {
      if (line !== run.mark) run.stderr(line.slice(0, -run.mark.length));
      run.atEnd.stderr = true;
      this.tellEnd(run);
      return;
    }
    if (line.trim() !== '') this.lastError = line.trim();
    run?.stderr(line);
  }

  private tellEnd({ atEnd: { stdout, stderr }, ended }: Run): void {
    if (stdout !== null && stderr) ended({ exitCode: stdout, killedBy: null });
  }
}

function saidOfItself(line: string): WarmEvent | null {
  if (!SAYS_OF_ITSELF.test(line)) return null;
  try {
    return eventSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
