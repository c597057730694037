import { Context } from '@temporalio/activity';
import {
  type Client,
  WithStartWorkflowOperation,
  WorkflowUpdateFailedError,
  type WorkflowUpdateHandle,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { CatchUpActivities } from '../contracts/activities.js';
import type { AddInput } from '../contracts/backfill.js';
import { BAD_INPUT } from '../contracts/failure.js';
import { backfillId, TASK_QUEUE } from '../contracts/ids.js';
import { addUpdate } from '../contracts/messages.js';
import { latestPartitionsOver, spanOf } from '../pipeline/calendar.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { type Due, duePartitions } from '../pipeline/due.js';
import { PartitionError } from '../pipeline/errors.js';
import { isTimeZone, localDay, nextTimeOfDay } from '../pipeline/time-zone.js';
import { underWayIn } from '../pipeline/under-way.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import type { Ledger } from '../warehouse/ledger.js';
import { refusingBadInput } from './bad-input.js';
import { openPartitions, runningProgress } from './open-workflows.js';
import { changesOf } from './source-changes.js';

/** A backfill that takes no more partitions, or not these, says so at once. */
const REFUSAL_MS = 2000;

export interface CatchUpDeps {
  loadPipeline(name: string): PipelineDefinition;
  ledger: Ledger;
  client: Client;
  clients: BigQueryClients;
}

/** What a night of catch-up asks of the outside world. */
export function catchUpActivities(deps: CatchUpDeps): Omit<CatchUpActivities, 'gatherDigest'> {
  return {
    nightOf: (scheduledAt, timezone, notifyAt) =>
      refusingBadInput(async () => {
        if (!isTimeZone(timezone)) throw new PartitionError(`There is no time zone ${JSON.stringify(timezone)}.`);
        const digestAt = nextTimeOfDay(new Date(scheduledAt), notifyAt, timezone);
        const today = localDay(new Date(scheduledAt), timezone);
        return { today, digestDay: localDay(digestAt, timezone), digestAt: digestAt.toISOString() };
      }),

    findDue: (pipeline, today, lookbackDays) => refusingBadInput(() => findDue(deps, pipeline, today, lookbackDays)),

    async addToBackfill(pipeline, partitions) {
      const add: AddInput = { partitions, stale: true, startedBy: 'catch-up' };
      const start = new WithStartWorkflowOperation('backfill', {
        workflowId: backfillId(pipeline),
        taskQueue: TASK_QUEUE,
        args: [{ pipeline, ...add }],
        staticSummary: `${pipeline} · catch-up of ${partitions.length} partitions`,
        workflowIdConflictPolicy: 'USE_EXISTING',
      });
      const update = await deps.client.workflow.startUpdateWithStart(addUpdate, {
        startWorkflowOperation: start,
        args: [add],
        waitForStage: 'ACCEPTED',
        updateId: `catch-up-${Context.current().info.workflowExecution?.runId}`,
      });
      await refusedSoon(deps.client, update);
    },
  };
}

/**
 * Waits a moment for a refusal; what was accepted is not waited for to its end, since the backfill plans first, for which it
 * needs a place that this activity may hold.
 */
async function refusedSoon(client: Client, update: WorkflowUpdateHandle<unknown>): Promise<void> {
  try {
    await client.withDeadline(Date.now() + REFUSAL_MS, () => update.result());
  } catch (error) {
    if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return;
    if (!(error instanceof WorkflowUpdateFailedError)) throw error;
    throw ApplicationFailure.nonRetryable(error.cause?.message ?? error.message, BAD_INPUT);
  }
}

/**
 * Partitions of the last days that are missing or stale, without what the running backfill has. One that someone else runs is
 * left out where partitions may overtake each other; elsewhere the backfill waits for it, and later ones with it.
 * @throws PartitionError, PipelineError, FreshnessError
 */
export async function findDue(
  { loadPipeline, ledger, client, clients }: CatchUpDeps,
  pipeline: string,
  today: string,
  lookbackDays: number,
): Promise<Due> {
  const definition = loadPipeline(pipeline);
  const partitions = latestPartitionsOver(definition, today, lookbackDays);
  const span = spanOf(partitions);
  if (span === null) return { missing: [], stale: [] };
  const [changes, progress] = await Promise.all([
    changesOf(clients, definition, undefined, span),
    runningProgress(client, pipeline),
  ]);
  const latest = await ledger.latest(pipeline, span.start, span.end);
  const underWay = underWayIn(progress, latest);
  const { missing, stale } = duePartitions(definition, partitions, latest, changes, underWay);
  const open = definition.parallelSafe ? await openPartitions(client, pipeline, [...missing, ...stale]) : new Map();
  const isIdle = (key: string) => !open.has(key);
  return { missing: missing.filter(isIdle), stale: stale.filter(isIdle) };
}
