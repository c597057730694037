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
  /** Its task token, in base64. */
  attempt: z.string(),
});

type Note = z.infer<typeof noteSchema>;

/**
 * What a worker has under way: a file for each attempt in `<state dir>/under-way`. A worker that starts gives back at once what a
 * dead one had: the server itself would notice only by a heartbeat that is overdue.
 */
export class AttemptNotes {
  private readonly folder: string;
  private readonly startTime = startTimeOf(process.pid) ?? '';
  private count = 0;

  constructor(
    stateDir: string,
    private readonly logger: Pick<Logger, 'warn'>,
  ) {
    this.folder = path.join(stateDir, 'under-way');
    mkdirSync(this.folder, { recursive: true });
  }

  /** Notes each attempt while it lasts. The server knows nothing of local activities. */
  readonly interceptor: ActivityInterceptorsFactory = ({ info }) => ({
    inbound: {
      execute: async (input, next) => {
        if (info.isLocal) return next(input);
        const file = path.join(this.folder, `${HOST}-${process.pid}-${this.count++}.json`);
        const { startTime } = this;
        const note: Note = { host: HOST, boot: BOOT, pid: process.pid, startTime, attempt: info.base64TaskToken };
        writeNote(file, note);
        try {
          return await next(input);
        } finally {
          rmSync(file, { force: true });
        }
      },
    },
  });

  /**
   * Gives back what dead workers of this machine and state directory had under way. A token names one attempt, so that one which
   * has ended, or another after it, is left alone. What cannot be given back is lost by its heartbeat, as elsewhere.
   */
  async giveBackLost(activities: Pick<AsyncCompletionClient, 'fail'>): Promise<void> {
    const lost = readdirSync(this.folder).map(async (name) => {
      const file = path.join(this.folder, name);
      const note = noteSchema.nullable().parse(readNote(file));
      if (note !== null && mayBeAlive(note)) return;
      if (note !== null) await this.giveBack(activities, note.attempt);
      rmSync(file, { force: true });
    });
    await Promise.all(lost);
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
}

/** A process id means nothing outside its machine and boot. */
function mayBeAlive({ host, boot, pid, startTime }: Note): boolean {
  return host !== HOST || boot !== BOOT || startTimeOf(pid) === startTime;
}
