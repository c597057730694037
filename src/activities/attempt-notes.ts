import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { ApplicationFailure } from '@temporalio/activity';
import { ActivityNotFoundError, type AsyncCompletionClient } from '@temporalio/client';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type { Logger } from 'pino';
import { z } from 'zod';
import { BOOT, HOST, startTimeOf } from '../runners/processes.js';
import { readNote, writeNote } from '../runners/run-file.js';

const noteSchema = z.object({
  host: z.string(),
  boot: z.string(),
  pid: z.number(),
  startTime: z.string(),
  /** Task tokens, in base64. */
  attempts: z.array(z.string()),
});

type Note = z.infer<typeof noteSchema>;

/**
 * What a worker has under way, in a file of its own in `<state dir>/under-way`. A worker that starts gives back at once what a
 * dead one had: the server itself would notice only by a heartbeat that is overdue.
 */
export class AttemptNotes {
  private readonly folder: string;
  private readonly file: string;
  private readonly startTime = startTimeOf(process.pid) ?? '';
  private readonly attempts = new Set<string>();

  constructor(
    stateDir: string,
    private readonly logger: Pick<Logger, 'warn'>,
  ) {
    this.folder = path.join(stateDir, 'under-way');
    this.file = path.join(this.folder, `${HOST}-${process.pid}.json`);
    mkdirSync(this.folder, { recursive: true });
  }

  /** Notes each attempt while it lasts. The server knows nothing of local activities. */
  readonly interceptor: ActivityInterceptorsFactory = ({ info }) => ({
    inbound: {
      execute: async (input, next) => {
        if (info.isLocal) return next(input);
        const attempt = info.base64TaskToken;
        this.attempts.add(attempt);
        this.write();
        try {
          return await next(input);
        } finally {
          this.attempts.delete(attempt);
          this.write();
        }
      },
    },
  });

  /**
   * Gives back what dead workers of this machine and state directory had under way. A token names one attempt, so that one which
   * has ended, or another after it, is left alone. What cannot be given back is lost by its heartbeat, as elsewhere.
   */
  async giveBackLost(activities: Pick<AsyncCompletionClient, 'fail'>): Promise<void> {
    for (const name of readdirSync(this.folder).filter((name) => name.endsWith('.json'))) {
      const file = path.join(this.folder, name);
      const note = noteSchema.nullable().parse(readNote(file));
      if (note === null || mayBeAlive(note)) continue;
      await Promise.all(note.attempts.map((attempt) => this.giveBack(activities, attempt)));
      rmSync(file, { force: true });
    }
  }

  /** To be called when nothing is under way any more. */
  close(): void {
    rmSync(this.file, { force: true });
  }

  private async giveBack(activities: Pick<AsyncCompletionClient, 'fail'>, attempt: string): Promise<void> {
    const lost = ApplicationFailure.create({
      message: 'The worker was lost.',
      type: 'WorkerLost',
      nonRetryable: false,
      nextRetryDelay: 1, // at once; 0 would mean never
    });
    try {
      await activities.fail(Buffer.from(attempt, 'base64'), lost);
    } catch (error) {
      if (!(error instanceof ActivityNotFoundError))
        this.logger.warn({ err: error }, 'an attempt of a lost worker could not be given back');
    }
  }

  private write(): void {
    const { attempts, file, startTime } = this;
    const note: Note = { host: HOST, boot: BOOT, pid: process.pid, startTime, attempts: [...attempts] };
    writeNote(file, note);
  }
}

/** A process id means nothing outside its machine and boot. */
function mayBeAlive({ host, boot, pid, startTime }: Note): boolean {
  return host !== HOST || boot !== BOOT || startTimeOf(pid) === startTime;
}
