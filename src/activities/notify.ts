import { ApplicationFailure, Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import type { NoticeActivities } from '../contracts/activities.js';
import { shortHash } from '../contracts/ids.js';
import type { Notice, NoticeEvent } from '../contracts/notice.js';
import { NotTold } from '../notices/errors.js';
import { explained, withAllThatWait } from '../notices/explain.js';
import { tellTarget } from '../notices/tell.js';
import type { NotifyTarget, PipelineDefinition } from '../pipeline/definition.js';
import type { Ledger } from '../warehouse/ledger.js';

/** What an attempt leaves to the next one, by target: null for one that took the notice, else why it never will. */
type Settled = Record<string, string | null>;

/** Telling people: each target once, those that are down again later. */
export function noticeActivities(deps: {
  logger: Logger;
  ledger: Pick<Ledger, 'latest'>;
  loadPipeline(name: string): PipelineDefinition;
}): NoticeActivities {
  /** One that begins to wait is told with all there is to know; of the others, and of what has ended, the ledger knows more. */
  async function complete(notice: Notice): Promise<Notice> {
    const { event, pipeline, partitions } = notice;
    const days = partitions.flatMap(({ partition }) => partition.split('..')).sort();
    if (days.length === 0 || ['waiting', 'limit', 'revised'].includes(event)) return notice;
    if (event === 'reminder') {
      const rows = await deps.ledger.latest(pipeline);
      return { ...notice, partitions: withAllThatWait(partitions, rows.values()) };
    }
    const rows = await deps.ledger.latest(pipeline, days[0], days.at(-1));
    return { ...notice, partitions: partitions.map((one) => explained(one, rows.get(one.partition))) };
  }

  return {
    async notify(notice) {
      const context = Context.current();
      const settled: Settled = { ...(context.info.heartbeatDetails as Settled | undefined) };
      const targets = deps.loadPipeline(plainName(notice)).notify.filter(({ on }) => isFor(on, notice));
      const open = targets.filter((target) => !(idOf(target) in settled));
      const told = open.length === 0 ? notice : await complete(notice);
      const failures: NotTold[] = [];
      const tell = async (target: NotifyTarget) => {
        try {
          await tellTarget(target, told, context.cancellationSignal);
          settled[idOf(target)] = null;
        } catch (error) {
          if (!(error instanceof NotTold)) throw error;
          if (error.again) failures.push(error);
          else settled[idOf(target)] = error.message;
        }
        context.heartbeat({ ...settled });
      };
      await Promise.all(open.map(tell));
      const refusals = targets.flatMap((target) => settled[idOf(target)] ?? []);
      if (failures.length === 0 && refusals.length === 0) return;
      const message = [...failures.map((failure) => failure.message), ...refusals].join(' ');
      deps.logger.warn({ pipeline: notice.pipeline, event: notice.event, reason: message }, 'not everyone was told');
      const pauseMs = Math.max(0, ...failures.map(({ afterMs }) => afterMs ?? 0));
      throw ApplicationFailure.create({
        message,
        type: 'NotTold',
        nonRetryable: failures.length === 0,
        ...(pauseMs > 0 && { nextRetryDelay: pauseMs }),
      });
    },
  };
}

/** A day that waits at a limit is told to those who are told of days that wait. */
function isFor(on: readonly NoticeEvent[], { event, partitions }: Notice): boolean {
  if (on.includes(event)) return true;
  return event === 'limit' && on.includes('waiting') && partitions.some(({ status }) => status === 'waiting');
}

/** Names a target in heartbeats without its addresses. */
function idOf(target: NotifyTarget): string {
  return shortHash(JSON.stringify(target));
}

/** A variant is told as its pipeline is. */
function plainName({ pipeline }: Notice): string {
  return pipeline.split('~')[0]!;
}
