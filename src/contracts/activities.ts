import type { AddInput, BackfillInput, Plan } from './backfill.js';
import type { DigestFindings, DigestInput, Night } from './catch-up.js';
import type { AlikeInput, StandingDecision } from './decision.js';
import type { Failure, StepFailure } from './failure.js';
import type { Proposal, ProposalInput } from './fix.js';
import type { LedgerRow } from './ledger.js';
import type { Notice } from './notice.js';
import type { PartitionInput, PreparedFix, RemedyPlan, RenderedPartition } from './partition.js';
import type { ActivityKind, StepRequest, StepResult } from './step.js';

/** A step activity; fails with an `ApplicationFailure` whose type is a failure kind and whose first detail a `StepFailure`. */
export type StepActivity = (request: StepRequest) => Promise<StepResult>;
export type StepActivities = Record<ActivityKind, StepActivity>;

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
/** What the SQL of a fix comes from. */
export type FixSource = { file: string } | { sql: string };

/** Everything about fixes that needs files, the warehouse or an adviser. */
export interface FixActivities {
  /**
   * Reads the SQL of a fix, has the guard check it, and says how it is run for the step.
   * @param source `sql` is checked against `allow_ad_hoc_sql` unless it is a proposal's.
   * @param n number of the fix within the partition, from 1: names its work.
   * Fails with `BadInput` and one sentence when it is refused.
   */
  prepareFix(
    input: PartitionInput,
    failure: Failure,
    source: FixSource,
    options: { n: number; then: 'retry' | 'continue'; proposed: boolean },
  ): Promise<PreparedFix>;
  /** Asks the adviser; null when it has nothing to suggest. */
  advise(input: PartitionInput, failure: Failure): Promise<Proposal | null>;
  /** Rehearses what someone proposes. Fails with `BadInput` and one sentence when the guard refuses it. */
  rehearseProposal(input: PartitionInput, failure: Failure, proposal: ProposalInput): Promise<Proposal>;
  /** The decision that healed a partition of the fingerprint; fails with `BadInput` and one sentence when none did. */
  findCanary(input: Pick<PartitionInput, 'pipeline' | 'vars'>, alike: AlikeInput): Promise<StandingDecision>;
}
/** What the nightly catch-up and its digest ask. */
export interface CatchUpActivities {
  /** What the time of a night means in a time zone; fails with `BadInput` when there is no such zone. */
  nightOf(scheduledAt: string, timezone: string, notifyAt: string): Promise<Night>;
  /**
   * Partitions of the last days that are missing or stale, without what the running backfill has.
   * @param today ISO date; the partitions before it are over.
   */
  findDue(pipeline: string, today: string, lookbackDays: number): Promise<{ missing: string[]; stale: string[] }>;
  /** Adds partitions to the running backfill, or starts one with them; fails with `BadInput` and one sentence when it takes none. */
  addToBackfill(pipeline: string, partitions: string[]): Promise<void>;
  /** How the pipeline stands this morning; null when nobody is to be told. */
  gatherDigest(input: DigestInput): Promise<DigestFindings | null>;
}
export interface NoticeActivities {
  /** Tells every target of the pipeline's `notify:`, those that have it already excepted; fails when one did not take it. */
  notify(notice: Notice): Promise<void>;
}
export interface LedgerActivities {
  recordLedger(...rows: LedgerRow[]): Promise<void>;
}
export interface WorkflowActivities {
  /** Returns when the workflow of that id has closed, or if there is none. */
  awaitWorkflow(workflowId: string): Promise<void>;
}
