import { setTimeout } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import { NoWorkerError, StateError } from '../client/errors.js';
import type { Dayfill } from '../client/open.js';
import type { BackfillHandle } from '../client/start.js';
import { backfillProgress, partitionState, stepProgress } from '../client/status.js';
import { workerPolls } from '../client/workers.js';
import { dollarsText, outOfBudget } from '../contracts/amounts.js';
import type { Progress } from '../contracts/backfill.js';
import { progressQuery } from '../contracts/messages.js';
import { sentence } from './tables.js';

const POLL_MS = 500;
/** Thousands of partitions are a long answer: asking takes at most a tenth of the time. */
const REST = 10;
const LAST_ANSWER_MS = 5000;

/** How following ended: the backfill did, something waits and the caller did not want to wait with it, or `signal`. */
export type FollowEnd = { why: 'ended'; failure: string | null } | { why: 'waiting' } | { why: 'interrupted' };

export interface FollowOptions {
  untilWaiting: boolean;
  /** Where lines go; stderr when stdout is for JSON. */
  out: NodeJS.WriteStream;
  /** Ends the following, not the backfill. */
  signal: AbortSignal;
}

/**
 * Follows a backfill: a live line on a terminal, a line per change elsewhere. Outages are waited for, since the backfill
 * goes on without us.
 */
export async function followBackfill(
  dayfill: Dayfill,
  handle: BackfillHandle,
  { untilWaiting, out, signal }: FollowOptions,
): Promise<FollowEnd> {
  const pipeline = handle.workflowId.slice('backfill/'.length);
  const told = new Teller(out);
  let end: FollowEnd | null = null;
  const following = new AbortController();
  const closed = ending(dayfill, handle, AbortSignal.any([following.signal, signal])).then((value) => {
    end = value;
  });
  if (!(await workerPolls(dayfill).catch(() => true))) told.outage(new NoWorkerError().message);
  let tookMs = 0;
  while (end === null) {
    await Promise.race([closed, setTimeout(Math.max(POLL_MS, REST * tookMs))]);
    if (signal.aborted) break;
    const asked = performance.now();
    try {
      const progress = await backfillProgress(dayfill, pipeline);
      tookMs = performance.now() - asked;
      if (progress === null) continue;
      told.progress(progress);
      const [current] = Object.keys(progress.live);
      const step = current === undefined ? null : await stepProgress(dayfill, pipeline, current);
      told.live(progress, step?.total ? `${step.done ?? 0}/${step.total} ${step.current ?? ''}` : '');
      if (untilWaiting && (await waitsForSomeone(dayfill, pipeline, progress))) {
        following.abort();
        await closed;
        told.clear();
        return { why: 'waiting' };
      }
    } catch (error) {
      told.outage(error instanceof StateError ? error.message : `No answer (${sentence((error as Error).message)}).`);
    }
  }
  if (end === null || signal.aborted) {
    await closed;
    told.clear();
    return { why: 'interrupted' };
  }
  // The last day's end came together with the backfill's. The outcome is known without it, should no worker answer.
  const asked = dayfill.temporal.withDeadline(Date.now() + LAST_ANSWER_MS, () => handle.query(progressQuery));
  const last = await asked.catch(() => null);
  if (last !== null) told.progress(last);
  told.clear();
  return end;
}

/** Whether a partition waits and nobody is at it: an adviser's proposal may be applied without asking, or is soon there to see. */
async function waitsForSomeone(dayfill: Dayfill, pipeline: string, progress: Progress): Promise<boolean> {
  const { live, status } = progress;
  if (outOfBudget(progress) && Object.keys(live).length === 0) return true;
  if (status !== 'waiting') return false;
  const waiting = Object.keys(live).filter((key) => live[key]!.status === 'waiting');
  const states = await Promise.all(waiting.map((key) => partitionState(dayfill, pipeline, key)));
  return states.some((state) => state?.status === 'waiting' && !state.advising);
}

/** Waits for the end, through outages, until nobody follows any more. */
async function ending(dayfill: Dayfill, handle: BackfillHandle, following: AbortSignal): Promise<FollowEnd> {
  while (!following.aborted) {
    try {
      await dayfill.temporal.withAbortSignal(following, () => handle.result());
      return { why: 'ended', failure: null };
    } catch (error) {
      if (error instanceof WorkflowFailedError) return { why: 'ended', failure: error.cause?.message ?? error.message };
      await setTimeout(POLL_MS);
    }
  }
  return { why: 'interrupted' };
}

/** Says each change once. */
class Teller {
  private readonly said = new Map<string, string>();
  private lastOutage = '';

  constructor(private readonly out: NodeJS.WriteStream) {}

  progress(progress: Progress): void {
    const { live, ended, spentUsd, budgetUsd } = progress;
    this.lastOutage = '';
    for (const [partition, status] of Object.entries(ended)) this.change(partition, status, status);
    for (const [partition, { status, step, failure }] of Object.entries(live)) {
      const why = failure === null ? '' : ` at ${step}: ${sentence(failure.message, 200)}`;
      this.change(partition, `${status}${why}`, status);
    }
    if (outOfBudget(progress)) {
      const spent = `${dollarsText(spentUsd ?? 0)} of ${dollarsText(budgetUsd ?? 0)} spent`;
      this.change('the budget', `has run out: ${spent}; go on with: dayfill resume ${progress.pipeline}`, 'paused');
    }
  }

  /** One line that is written over; only on a terminal. */
  live(progress: Progress, step: string): void {
    if (!this.out.isTTY) return;
    const ended = Object.keys(progress.ended).length;
    const left = progress.total - ended;
    const eta = ended === 0 ? '' : `, about ${Math.ceil((left * progress.endedMs) / ended / 1000)} s left`;
    const now = Object.keys(progress.live).join(' ');
    this.out.write(`\r\x1b[K[${ended}/${progress.total}] ${now} ${step}${eta}`);
  }

  outage(message: string): void {
    if (message === this.lastOutage) return;
    this.lastOutage = message;
    this.line(message);
  }

  clear(): void {
    if (this.out.isTTY) this.out.write('\r\x1b[K');
  }

  private change(partition: string, text: string, status: string): void {
    if (this.said.get(partition) === text) return;
    this.said.set(partition, text);
    this.line(
      status === 'succeeded' || status === 'fixed'
        ? `date ${partition} ingestion all done (${text})`
        : `${partition} ${text}`,
    );
  }

  private line(text: string): void {
    this.clear();
    this.out.write(`${text}\n`);
  }
}
