import type { Client } from '@temporalio/client';
import type { PlanningActivities } from '../contracts/activities.js';
import type { BackfillInput, Plan } from '../contracts/backfill.js';
import { type Vars, variantName } from '../contracts/ids.js';
import type { LedgerRow } from '../contracts/ledger.js';
import type { PartitionInput } from '../contracts/partition.js';
import type { Json } from '../contracts/step.js';
import { boundsOf, dayBefore, spanOf } from '../pipeline/calendar.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { matchRemedies } from '../pipeline/match.js';
import { checkPreviousStates, planPartitions, requestedPartitions, stateBefore } from '../pipeline/plan.js';
import { needsPreviousState, renderPartition, renderRemedyRun } from '../pipeline/render.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import type { Ledger } from '../warehouse/ledger.js';
import { refusingBadInput } from './bad-input.js';
import { openStatus } from './open-workflows.js';
import { changesOf } from './source-changes.js';

export interface PlanningDeps {
  /** Reads and checks a pipeline file as it is now. */
  loadPipeline(name: string, vars?: Vars): PipelineDefinition;
  ledger: Ledger;
  client: Client;
  clients: BigQueryClients;
}

/** Planning, loading and matching: everything that depends on pipeline files, kept out of the workflows. */
export function planningActivities({ loadPipeline, ledger, client, clients }: PlanningDeps): PlanningActivities {
  /** What is added to a backfill may follow on what that has under way, so that its first state is not asked for yet. */
  async function planWith(input: BackfillInput, isAddition = false): Promise<Plan> {
    const definition = loadPipeline(input.pipeline, input.vars);
    const pipeline = variantName(input.pipeline, input.vars);
    const asked = requestedPartitions(definition, input);
    const span = spanOf(asked)!;
    const latest = await ledger.latest(pipeline, dayBefore(span.start), span.end);
    await Promise.all([...latest.values()].filter(({ status }) => status === 'waiting').map(correctIfGone));
    const changes = input.stale === true ? await changesOf(clients, definition, input.vars, span) : undefined;
    const planned = planPartitions(definition, input, latest, changes);
    if (!isAddition) checkPreviousStates(definition, planned.partitions, latest);
    const firstStep = input.fromStep ?? definition.steps[0]!.id;
    return { ...planned, pipeline, writesRows: !needsPreviousState(definition), firstStep };
  }

  /** A row that says `waiting` for a workflow that is gone (terminated) would be believed for ever. */
  async function correctIfGone(row: LedgerRow): Promise<void> {
    if ((await openStatus(client, row.workflowId, row.runId)) !== null) return;
    row.status = 'failed';
    await ledger.append({ ...row, sequence: row.sequence + 1, recordedAt: new Date().toISOString() });
  }

  /** What the partition before handed on. The ledger is read only where a step asks for it. */
  async function previousState(definition: PipelineDefinition, input: PartitionInput): Promise<Json | undefined> {
    if (!needsPreviousState(definition)) return undefined;
    const before = dayBefore(boundsOf(definition, input.partition).start);
    const rows = await ledger.latest(variantName(input.pipeline, input.vars), before, before);
    return stateBefore(definition, input.partition, rows);
  }

  return {
    plan: (input) => refusingBadInput(() => planWith(input)),

    planMore: (input, add) =>
      refusingBadInput(() => {
        const { from: _from, to: _to, partitions: _partitions, exclude: _exclude, ...rest } = input;
        return planWith({ ...rest, ...add }, true);
      }),

    loadPartition: (input) =>
      refusingBadInput(async () => {
        const now = new Date().toISOString();
        let sourceAsOf = now;
        const earlierStates: Record<string, Json> = {};
        const definition = loadPipeline(input.pipeline, input.vars);
        if (input.fromStep !== undefined) {
          const { pipeline, partition, vars, fromStep } = input;
          const { start, end } = boundsOf(definition, partition);
          const latest = await ledger.latest(variantName(pipeline, vars), dayBefore(start), end);
          const asBackfill: BackfillInput = { pipeline, partitions: [partition], fromStep, force: true };
          planPartitions(definition, vars === undefined ? asBackfill : { ...asBackfill, vars }, latest);
          // The steps before read the source when they ran.
          sourceAsOf = latest.get(partition)?.sourceAsOf ?? now;
          for (const { id, state } of latest.get(partition)?.steps ?? []) earlierStates[id] = state;
        }
        const state = await previousState(definition, input);
        return { ...renderPartition(definition, input, state, sourceAsOf), earlierStates };
      }, 'pipeline'),

    matchRemedies: (input, step, failure, used) =>
      refusingBadInput(async () => {
        const definition = loadPipeline(input.pipeline, input.vars);
        const remedies = matchRemedies(definition, step, failure, used);
        if (remedies === null) return null;
        const state = await previousState(definition, input);
        return renderRemedyRun(definition, input, step, remedies, used, state, failure.evidence);
      }, 'pipeline'),
  };
}
