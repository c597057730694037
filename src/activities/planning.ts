import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { PlanningActivities } from '../contracts/activities.js';
import type { BackfillInput, Plan } from '../contracts/backfill.js';
import type { FreshnessQuery, SourceChanges } from '../contracts/freshness.js';
import { variantName } from '../contracts/ids.js';
import type { LedgerRow } from '../contracts/ledger.js';
import { BAD_INPUT, type PartitionInput } from '../contracts/partition.js';
import type { Json } from '../contracts/step.js';
import { boundsOf, previousPartition, spanOf } from '../pipeline/calendar.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { PartitionError, PipelineError } from '../pipeline/errors.js';
import { matchRemedies } from '../pipeline/match.js';
import { planPartitions, requestedPartitions } from '../pipeline/plan.js';
import { needsPreviousState, renderFreshness, renderPartition, renderRemedyRun } from '../pipeline/render.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import { FreshnessError, sourceChanges } from '../warehouse/freshness.js';
import type { Ledger } from '../warehouse/ledger.js';

export interface PlanningDeps {
  /** Reads and checks a pipeline file as it is now. */
  loadPipeline(name: string): PipelineDefinition;
  ledger: Ledger;
  client: Client;
  clients: BigQueryClients;
}

/** Planning, loading and matching: everything that depends on pipeline files, kept out of the workflows. */
export function planningActivities({ loadPipeline, ledger, client, clients }: PlanningDeps): PlanningActivities {
  async function planWith(input: BackfillInput): Promise<Plan> {
    const definition = loadPipeline(input.pipeline);
    const pipeline = variantName(input.pipeline, input.vars);
    const asked = requestedPartitions(definition, input);
    const span = spanOf(asked)!;
    const latest = await ledger.latest(pipeline, span.start, span.end);
    await Promise.all([...latest.values()].filter(({ status }) => status === 'waiting').map(correctIfGone));
    const changes =
      input.stale === true ? await changesOf(clients, renderFreshness(definition, input.vars), span) : undefined;
    return { ...planPartitions(definition, input, latest, changes), pipeline };
  }

  /** A row that says `waiting` for a workflow that is gone (terminated) would be believed for ever. */
  async function correctIfGone(row: LedgerRow): Promise<void> {
    if (await isRunning(client, row.workflowId, row.runId)) return;
    row.status = 'failed';
    await ledger.append({ ...row, sequence: row.sequence + 1, recordedAt: new Date().toISOString() });
  }

  async function previousState(definition: PipelineDefinition, input: PartitionInput): Promise<Json | undefined> {
    if (!needsPreviousState(definition)) return undefined;
    const previous = previousPartition(definition, input.partition);
    if (previous === null) return undefined;
    const { start, end } = boundsOf(definition, previous);
    const rows = await ledger.latest(variantName(input.pipeline, input.vars), start, end);
    const states = rows.get(previous)?.steps.map(({ state }) => state) ?? [];
    return states.findLast((state) => state !== null);
  }

  return {
    plan: (input) => refusingBadInput(() => planWith(input)),

    planMore: (input, add) =>
      refusingBadInput(() => {
        const { from: _from, to: _to, partitions: _partitions, exclude: _exclude, ...rest } = input;
        return planWith({ ...rest, ...add });
      }),

    loadPartition: (input) =>
      refusingBadInput(async () => {
        const now = new Date().toISOString();
        let sourceAsOf = now;
        const definition = loadPipeline(input.pipeline);
        if (input.fromStep !== undefined) {
          const { pipeline, partition, vars, fromStep } = input;
          const { start, end } = boundsOf(definition, partition);
          const latest = await ledger.latest(variantName(pipeline, vars), start, end);
          const asBackfill: BackfillInput = { pipeline, partitions: [partition], fromStep, force: true };
          planPartitions(definition, vars === undefined ? asBackfill : { ...asBackfill, vars }, latest);
          // The steps before read the source when they ran.
          sourceAsOf = latest.get(partition)?.sourceAsOf ?? now;
        }
        return renderPartition(definition, input, await previousState(definition, input), sourceAsOf);
      }, 'pipeline'),

    matchRemedies: (input, step, failure, used) =>
      refusingBadInput(async () => {
        const definition = loadPipeline(input.pipeline);
        const remedies = matchRemedies(definition, step, failure, used);
        if (remedies === null) return null;
        const state = await previousState(definition, input);
        return renderRemedyRun(definition, input, step, remedies, used, state, failure.evidence);
      }, 'pipeline'),
  };
}

/** When the source of each day last changed; empty where the pipeline has no `freshness:`. */
export async function changesOf(
  clients: BigQueryClients,
  query: FreshnessQuery | null,
  span: { start: string; end: string },
): Promise<SourceChanges> {
  return query === null ? new Map() : sourceChanges(clients(query.project), query, span);
}

/** Whether a run of a workflow is still open. */
async function isRunning(client: Client, workflowId: string, runId: string): Promise<boolean> {
  try {
    return (await client.workflow.getHandle(workflowId, runId).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** Input that does not fit fails at once with its sentence; anything else (an outage) is tried again. */
async function refusingBadInput<T>(work: () => Promise<T>, pipelineProblemType = BAD_INPUT): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof PartitionError || error instanceof FreshnessError)
      throw ApplicationFailure.nonRetryable(error.message, BAD_INPUT);
    if (error instanceof PipelineError) throw ApplicationFailure.nonRetryable(error.message, pipelineProblemType);
    throw error;
  }
}
