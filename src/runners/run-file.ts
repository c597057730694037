import { closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { shortHash } from '../contracts/ids.js';

const runRecordSchema = z.object({
  key: z.string(),
  /** Null until the process is there. */
  pid: z.number().nullable(),
  startTime: z.string().nullable(),
  host: z.string(),
  boot: z.string(),
  program: z.string(),
  workerPid: z.number(),
  workerStartTime: z.string(),
});

/** What is noted of a run while it lasts, so that whoever comes after a crash can find and stop it. */
export type RunRecord = z.infer<typeof runRecordSchema>;

/** The note of a run while it lasts. */
export interface RunNote {
  /** It has a process of its own now. */
  isRunning(pid: number): void;
  /** It is done by a process that has a note of its own. */
  isRunBy(pid: number): void;
  /** It is over. */
  remove(): void;
}

/**
 * The notes of the runs of a state directory: a file each in `runs/`, named by the step's key. Everything here is
 * synchronous, because between a process and its note there must be no moment in which other code runs.
 */
export class RunFiles {
  private readonly directory: string;

  constructor(stateDir: string) {
    this.directory = path.join(stateDir, 'runs');
    mkdirSync(this.directory, { recursive: true });
  }

  write(record: RunRecord): void {
    writeNote(this.fileOf(record.key), record);
  }

  /** Null when there is none. */
  read(key: string): RunRecord | null {
    return this.readFile(this.fileOf(key));
  }

  all(): RunRecord[] {
    const names = readdirSync(this.directory).filter((name) => name.endsWith('.json'));
    return names.flatMap((name) => this.readFile(path.join(this.directory, name)) ?? []);
  }

  remove(key: string): void {
    rmSync(this.fileOf(key), { force: true });
  }

  private readFile(file: string): RunRecord | null {
    return runRecordSchema.nullable().parse(readNote(file));
  }

  private fileOf(key: string): string {
    const readable = key.replace(/[^\w.~-]/g, '_').slice(0, 150);
    return path.join(this.directory, `${readable}-${shortHash(key)}.json`);
  }
}

/** Notes are of one length, so that one call of the system replaces the one before. */
const NOTE_BYTES = 4096;

/**
 * Writes or replaces a note as a whole: a killed process leaves the old one or the new one. To replace it by a rename would have
 * the file system write to the disk at once, for every step.
 */
export function writeNote(file: string, note: object): void {
  const descriptor = openSync(file, constants.O_WRONLY | constants.O_CREAT);
  try {
    writeSync(descriptor, JSON.stringify(note).padEnd(NOTE_BYTES), 0);
  } finally {
    closeSync(descriptor);
  }
}

/** Null when there is none. */
export function readNote(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  // Torn only if the machine itself went down while it was written, and then nothing runs any more.
  return text === '' ? null : JSON.parse(text);
}
