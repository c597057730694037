import type { AddInput, BackfillInput, Plan } from './backfill.js';
import type { StepFailure } from './failure.js';
import type { LedgerRow } from './ledger.js';
import type { PartitionInput, RemedyPlan, RenderedPartition } from './partition.js';
import type { StepKind, StepRequest, StepResult } from './step.js';

/** A step activity; fails with an `ApplicationFailure` whose type is a failure kind and whose first detail a `StepFailure`. */
export type StepActivity = (request: StepRequest) => Promise<StepResult>;
export type StepActivities = Record<StepKind, StepActivity>;

/** Everything else that workflows ask of the outside world. */
export interface PlanningActivities {
  /** Checks the input against the pipeline and the ledger; fails with `BadInput` and one sentence. */
  plan(input: BackfillInput): Promise<Plan>;
  /** Plans more partitions by the rules of a running backfill. */
  planMore(input: BackfillInput, add: AddInput): Promise<Plan>;
  /** Loads the pipeline file as it is now and renders it for one partition. */
  loadPartition(input: PartitionInput): Promise<RenderedPartition>;
  /** The remedies with attempts left that together cover the failure; null when there are none. */
  matchRemedies(
    input: PartitionInput,
    step: string,
    failure: StepFailure,
    used: Record<string, number>,
  ): Promise<RemedyPlan | null>;
}
export interface LedgerActivities {
  recordLedger(row: LedgerRow): Promise<void>;
}
export interface WorkflowActivities {
  /** Returns when the workflow of that id has closed, or if there is none. */
  awaitWorkflow(workflowId: string): Promise<void>;
}
