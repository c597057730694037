import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
} from '@temporalio/workflow';
import type {
  CatchUpActivities,
  FixActivities,
  LedgerActivities,
  NoticeActivities,
  PlanningActivities,
  StepActivities,
  WorkflowActivities,
} from '../contracts/activities.js';
import { BAD_INPUT, type FailureKind, type StepFailure } from '../contracts/failure.js';
import type { LedgerRow } from '../contracts/ledger.js';
import type { RenderedStep } from '../contracts/partition.js';
import type { StepRequest, StepResult } from '../contracts/step.js';
import { badInput } from './input.js';

/** A worker that says nothing for as long is lost, and what it did is given to another. */
const LOST_WORKER = '6 seconds';

/** Reading a pipeline file is quick and needs no retry by the server: a local activity costs no round trip. */
export const { loadPartition, matchRemedies } = proxyLocalActivities<PlanningActivities>({
  startToCloseTimeout: '1 minute',
  retry: { initialInterval: '1 second', maximumInterval: '30 seconds' },
});

/** Planning reads the ledger: an outage of the warehouse is waited for. */
export const { plan, planMore } = proxyActivities<PlanningActivities>({
  startToCloseTimeout: '5 minutes',
  heartbeatTimeout: LOST_WORKER,
  retry: { initialInterval: '1 second', maximumInterval: '1 minute' },
});

/** A ledger row must not be lost: it is tried until the warehouse takes it. */
const ledger = proxyActivities<LedgerActivities>({
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: LOST_WORKER,
  retry: { initialInterval: '1 second', maximumInterval: '1 minute' },
});

/** A row costs no round trip as long as the warehouse answers; an outage is waited for by `ledger`, where people see it. */
const localLedger = proxyLocalActivities<LedgerActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumAttempts: 1 },
});

/** Writes rows by an activity, in that order. */
export async function recordLedger(rows: LedgerRow[]): Promise<void> {
  const [{ partition, status }] = rows as [LedgerRow];
  const summary = rows.length === 1 ? `${partition} · ledger: ${status}` : `ledger: ${rows.length} partitions`;
  await ledger.recordLedger.executeWithOptions({ summary }, rows);
}

/** Writes a row by a local activity; by an activity when the ledger does not take it at once. */
export async function recordLedgerLocally(row: LedgerRow): Promise<void> {
  try {
    await localLedger.recordLedger.executeWithOptions({ summary: `ledger: ${row.status}` }, [row]);
  } catch (error) {
    log.warn('the ledger did not take a row at once', { reason: stepFailureOf(error).message });
    await recordLedger([row]);
  }
}

/** Waits as long as the other workflow takes, by short attempts that are repeated without limit. */
export const { awaitWorkflow } = proxyActivities<WorkflowActivities>({
  startToCloseTimeout: '30 seconds',
  retry: { initialInterval: '1 second', maximumInterval: '30 seconds' },
});

/** Someone waits for the answer: an outage is told to them soon, rather than waited for. */
export const { prepareFix, rehearseProposal, findCanary } = proxyActivities<FixActivities>({
  startToCloseTimeout: '5 minutes',
  heartbeatTimeout: LOST_WORKER,
  retry: { initialInterval: '1 second', maximumAttempts: 4 },
});

/** Nobody waits for the adviser: a person can decide without it at any time. */
export const { advise } = proxyActivities<FixActivities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: LOST_WORKER,
  retry: { initialInterval: '1 second', maximumInterval: '1 minute', maximumAttempts: 10 },
});

/** About a day of trying; then whoever does not listen is given up. */
export const { notify } = proxyActivities<NoticeActivities>({
  startToCloseTimeout: '2 minutes',
  scheduleToCloseTimeout: '1 day',
  retry: { initialInterval: '1 second', maximumInterval: '10 minutes' },
});

/** Which day it is somewhere: quick, and needs nobody. */
export const { nightOf } = proxyLocalActivities<CatchUpActivities>({ startToCloseTimeout: '1 minute' });

/** An outage of the warehouse is waited for, like by planning: the nights meanwhile are skipped, and caught up by the next. */
export const { findDue, addToBackfill, gatherDigest } = proxyActivities<CatchUpActivities>({
  startToCloseTimeout: '5 minutes',
  heartbeatTimeout: LOST_WORKER,
  retry: { initialInterval: '1 second', maximumInterval: '1 minute' },
});

/** Beyond the step's own time limit, which the activity enforces: for a worker that can no longer enforce it. */
const TIMEOUT_GRACE_MS = 60_000;

/**
 * Runs one step as the activity of its kind. The activity counts transient failures itself and ends with a failure that is
 * not retried; what Temporal retries without limit is a lost worker, which is not the step's fault.
 * @throws ActivityFailure
 */
export function runStep(step: RenderedStep, request: StepRequest): Promise<StepResult> {
  const steps = proxyActivities<StepActivities>({
    startToCloseTimeout: step.timeoutMs + TIMEOUT_GRACE_MS,
    heartbeatTimeout: LOST_WORKER,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { initialInterval: '500 milliseconds', backoffCoefficient: 1 },
  });
  return steps[step.uses].executeWithOptions({ summary: `${request.partition.key} · ${step.title}` }, [request]);
}

/** @throws the one sentence of a refusal, rather than that an activity failed. */
export async function orRefusal<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    const cause = error instanceof ActivityFailure ? error.cause : undefined;
    throw cause instanceof ApplicationFailure && cause.type === BAD_INPUT ? badInput(cause.message) : error;
  }
}

/** What went wrong, as a classified failure; a cancellation is no failure and is thrown on. */
export function stepFailureOf(error: unknown): StepFailure {
  if (isCancellation(error)) throw error;
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure) {
    const detail = cause.details?.[0] as StepFailure | undefined;
    if (detail?.kind !== undefined) return detail;
    const isPipeline = cause.type === 'pipeline' || cause.type === BAD_INPUT;
    return plainFailure(isPipeline ? 'pipeline' : 'internal', cause.message);
  }
  return plainFailure('internal', cause instanceof Error ? cause.message : String(cause));
}

export function plainFailure(kind: FailureKind, message: string): StepFailure {
  return { kind, tests: [], message, tail: '', log: null, evidence: null, exitCode: null };
}
