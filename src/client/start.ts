import {
  WithStartWorkflowOperation,
  type WorkflowHandle,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { dollarsText } from '../contracts/amounts.js';
import type { AddInput, AddReceipt, BackfillInput, BackfillResult, Plan } from '../contracts/backfill.js';
import { backfillId, TASK_QUEUE, type Vars, variantName } from '../contracts/ids.js';
import { addUpdate, drainSignal, pauseSignal, progressQuery, resumeSignal } from '../contracts/messages.js';
import { dayBefore, spanOf } from '../pipeline/calendar.js';
import { checkPreviousStates, planPartitions, requestedPartitions } from '../pipeline/plan.js';
import { stepIndex } from '../pipeline/render.js';
import { changesOf } from './due.js';
import { NoWorkerError, StateError } from './errors.js';
import type { Dayfill } from './open.js';
import { checkKnown, type PipelineFiles } from './pipelines.js';
import { backfillProgress } from './status.js';
import { workerPolls } from './workers.js';

/** A worker has to plan before it answers. */
const ADD_MS = 20_000;

export type BackfillHandle = WorkflowHandle<(input: BackfillInput) => Promise<BackfillResult>>;

/**
 * What a backfill would do, from the pipeline file and the ledger as they are.
 * @throws PipelineError, PartitionError, StateError
 */
export async function planBackfill(dayfill: Dayfill, input: BackfillInput): Promise<Plan> {
  const definition = dayfill.pipeline(input.pipeline, input.vars);
  const asked = requestedPartitions(definition, input);
  const pipeline = variantName(input.pipeline, input.vars);
  const span = spanOf(asked)!;
  const latest = await dayfill.ledger.latest(pipeline, dayBefore(span.start), span.end);
  const changes = input.stale === true ? await changesOf(dayfill, definition, input.vars, span) : undefined;
  const planned = planPartitions(definition, input, latest, changes);
  checkPreviousStates(definition, planned.partitions, latest);
  return { ...planned, pipeline };
}

/**
 * Refuses what no ledger could make right.
 * @throws PipelineError, PartitionError
 */
export function checkBackfill({ pipeline }: PipelineFiles, input: BackfillInput): void {
  const { fromStep, ...rest } = input;
  const definition = pipeline(input.pipeline, input.vars);
  stepIndex(definition, fromStep);
  planPartitions(definition, rest, new Map());
}

/**
 * Starts a backfill whose plan was found good.
 * @throws StateError when one of this pipeline is running already.
 */
export async function startBackfill(dayfill: Dayfill, input: BackfillInput): Promise<BackfillHandle> {
  const workflowId = backfillId(input.pipeline, input.vars);
  try {
    return await dayfill.temporal.workflow.start('backfill', {
      workflowId,
      taskQueue: TASK_QUEUE,
      args: [input],
      staticSummary: summary(input),
      workflowIdConflictPolicy: 'FAIL',
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new StateError(
      `${await whatRuns(dayfill, input)}; add to it with "dayfill add ${input.pipeline} ${rangeWords(input)}", or follow it with "dayfill status ${input.pipeline} --watch".`,
    );
  }
}

/**
 * Adds partitions to the running backfill, or starts one with them: no request falls between two runs.
 * @throws NoWorkerError, since only a worker can take them in.
 */
export async function addToBackfill(dayfill: Dayfill, pipeline: string, add: AddInput): Promise<AddReceipt> {
  requestedPartitions(dayfill.pipeline(pipeline), add);
  if (!(await workerPolls(dayfill))) throw new NoWorkerError();
  const input: BackfillInput = { pipeline, ...add };
  const start = new WithStartWorkflowOperation('backfill', {
    workflowId: backfillId(pipeline),
    taskQueue: TASK_QUEUE,
    args: [input],
    staticSummary: summary(input),
    workflowIdConflictPolicy: 'USE_EXISTING',
  });
  try {
    return await dayfill.temporal.withDeadline(Date.now() + ADD_MS, () =>
      dayfill.temporal.workflow.executeUpdateWithStart(addUpdate, { startWorkflowOperation: start, args: [add] }),
    );
  } catch (error) {
    if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) {
      throw new StateError(
        'No worker took the partitions in: start one with "dayfill stack up" or "dayfill worker", and add them again, which does no harm.',
      );
    }
    if (error instanceof WorkflowUpdateFailedError) throw new StateError(error.cause?.message ?? error.message);
    throw error;
  }
}

/** @throws StateError when no backfill of the pipeline is running. */
export async function pauseBackfill(dayfill: Dayfill, pipeline: string): Promise<void> {
  await tell(dayfill, pipeline, (handle) => handle.signal(pauseSignal));
}

/**
 * Goes on after a pause; with `budgetUsd` in place of the backfill's budget, what it has spent included.
 * @throws StateError when no backfill of the pipeline is running, or it has spent as much already.
 */
export async function resumeBackfill(dayfill: Dayfill, pipeline: string, budgetUsd?: number): Promise<void> {
  if (budgetUsd === undefined) return tell(dayfill, pipeline, (handle) => handle.signal(resumeSignal, undefined));
  const spentUsd = (await backfillProgress(dayfill, pipeline))?.spentUsd ?? 0;
  if (spentUsd >= budgetUsd) {
    throw new StateError(
      `The backfill of ${pipeline} has spent ${dollarsText(spentUsd)} already: give it more than that.`,
    );
  }
  await tell(dayfill, pipeline, (handle) => handle.signal(resumeSignal, { budgetUsd }));
}

/** Ends a backfill: after the partitions under way, or now, which stops them. */
export async function cancelBackfill(dayfill: Dayfill, pipeline: string, how: 'drain' | 'now'): Promise<void> {
  await tell(dayfill, pipeline, async (handle) => {
    if (how === 'drain') await handle.signal(drainSignal);
    else await handle.cancel();
  });
}

async function tell(dayfill: Dayfill, pipeline: string, message: (handle: WorkflowHandle) => Promise<void>) {
  checkKnown(dayfill, pipeline);
  try {
    await message(dayfill.temporal.workflow.getHandle(`backfill/${pipeline}`));
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    throw new StateError(`No backfill of ${pipeline} is running.`);
  }
}

async function whatRuns(
  dayfill: Dayfill,
  { pipeline, vars }: { pipeline: string; vars?: Vars | undefined },
): Promise<string> {
  const name = variantName(pipeline, vars);
  const handle = dayfill.temporal.workflow.getHandle(backfillId(pipeline, vars));
  const since = (await handle.describe()).startTime.toISOString().slice(0, 19);
  try {
    const { live, ended, total } = await dayfill.temporal.withDeadline(Date.now() + 3000, () =>
      handle.query(progressQuery),
    );
    const now = Object.keys(live).join(', ') || 'nothing';
    return `A backfill of ${name} is running since ${since}Z (${Object.keys(ended).length} of ${total} done, now ${now})`;
  } catch {
    return `A backfill of ${name} is running since ${since}Z (no worker answers for it)`;
  }
}

function rangeWords({ from, to, partitions, stale }: BackfillInput): string {
  if (stale) return '--stale';
  return partitions === undefined ? `--from ${from} --to ${to}` : `--partitions ${partitions.join(',')}`;
}

function summary(input: BackfillInput): string {
  const what =
    input.partitions === undefined ? `${input.from} to ${input.to}` : `${input.partitions.length} partitions`;
  return `${input.pipeline} · ${what}`;
}
