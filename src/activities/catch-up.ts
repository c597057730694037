import { Context } from '@temporalio/activity';
import { type Client, WithStartWorkflowOperation } from '@temporalio/client';
import type { CatchUpActivities } from '../contracts/activities.js';
import type { AddInput } from '../contracts/backfill.js';
import { backfillId, TASK_QUEUE } from '../contracts/ids.js';
import { addUpdate } from '../contracts/messages.js';
import { latestPartitionsOver, spanOf } from '../pipeline/calendar.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { type Due, duePartitions } from '../pipeline/due.js';
import { PartitionError } from '../pipeline/errors.js';
import { isTimeZone, localDay, nextTimeOfDay } from '../pipeline/time-zone.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import type { Ledger } from '../warehouse/ledger.js';
import { refusingBadInput } from './bad-input.js';
import { openPartitions, runningProgress } from './open-workflows.js';
import { changesOf } from './source-changes.js';

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
      // Only until it is accepted: to take them in the backfill plans, for which it needs a place that this may hold.
      await deps.client.workflow.startUpdateWithStart(addUpdate, {
        startWorkflowOperation: start,
        args: [add],
        waitForStage: 'ACCEPTED',
        updateId: `catch-up-${Context.current().info.workflowExecution?.runId}`,
      });
    },
  };
}

/**
 * Partitions of the last days that are missing or stale, those under way left out.
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
  const [latest, changes, progress] = await Promise.all([
    ledger.latest(pipeline, span.start, span.end),
    changesOf(clients, definition, undefined, span),
    runningProgress(client, pipeline),
  ]);
  const planned = new Set([...(progress?.pending ?? []), ...Object.keys(progress?.live ?? {})]);
  const { missing, stale } = duePartitions(definition, partitions, latest, changes, planned);
  const open = await openPartitions(client, pipeline, [...missing, ...stale]);
  const isIdle = (key: string) => !open.has(key);
  return { missing: missing.filter(isIdle), stale: stale.filter(isIdle) };
}
