import { z } from 'zod';
import { pipelineName, varsSchema } from './backfill.js';
import type { DecisionAction, DecisionRecord } from './decision.js';
import type { Failure } from './failure.js';
import type { Proposal } from './fix.js';
import type { LedgerRow } from './ledger.js';
import type { StepLimits, Usage } from './limits.js';
import { ON_FAILURE, type PartitionStatus, type StepStatus } from './status.js';
import type { ActivityKind, Json, PartitionBounds } from './step.js';

/** Input of the partition workflow. */
export const partitionInputSchema = z.strictObject({
  pipeline: pipelineName,
  partition: z.string().min(1).max(40),
  vars: varsSchema.optional(),
  fromStep: z.string().min(1).max(100).optional(),
  onFailure: z.enum(ON_FAILURE).optional(),
  reason: z.string().max(2000).optional(),
  /** `catch-up` for one that no person asked for. */
  startedBy: z.literal('catch-up').optional(),
});
export type PartitionInput = z.infer<typeof partitionInputSchema> & {
  /** Who writes the row of a day that needs nobody; only a backfill says so. */
  recordedBy?: 'backfill';
};

/** A step ready to run: templated, checked, with its defaults filled in. */
export interface RenderedStep {
  id: string;
  title: string;
  uses: ActivityKind;
  with: Record<string, Json>;
  timeoutMs: number;
  retry: { attempts: number; initialMs: number };
  /** What runs after a fix in place of the step, which would bring back what the fix took away; empty: the step itself. */
  afterFix: RenderedStep[];
  /** Missing without any. */
  limits?: StepLimits;
  /** What runs once it has crossed a limit; missing where an older version rendered it. */
  cleanup?: RenderedStep[];
}

/** What decides when nobody has, and how often people are reminded on the way. */
export interface DecideWithin {
  timeMs: number;
  action: Extract<DecisionAction, 'retry' | 'skipStep' | 'skip' | 'abort'>;
  /** Null for no reminders. */
  remindMs: number | null;
}

/** A partition ready to run. */
export interface RenderedPartition {
  bounds: PartitionBounds;
  /** Ids of the steps before `fromStep`, which an earlier run of the partition has done. */
  earlierSteps: string[];
  /** What those handed on, by step: it is handed on by this run too. */
  earlierStates?: Record<string, Json>;
  /** Steps to run, in order. */
  steps: RenderedStep[];
  onFailure: 'wait' | 'park' | 'stop';
  /** The var `project_id`: where the BigQuery jobs of steps that name no project are looked for. */
  project: string | null;
  /** Pipelines that name the same lock take turns; null without one. */
  lock: string | null;
  decideWithin: DecideWithin | null;
  /** Rows up to which a proposal of a class may be applied without asking; empty: never. */
  autoApply: Record<string, number>;
  /** Whether anyone is to be told. */
  notifies: boolean;
  /** Whether SQL fixes are allowed at all, so that an adviser is worth asking. */
  fixes: boolean;
  /** ISO time before the first read: later source rows make this partition stale, not lost. */
  sourceAsOf: string;
  /** Ledger rows are written by local activities; absent from what an older worker loaded. */
  localLedger?: true;
}

/** The remedies that together cover a failure, in order, and what follows them. */
export interface RemedyPlan {
  ids: string[];
  run: RenderedStep[];
  then: 'retry' | 'continue';
}

/** The SQL of a fix, checked by the guard and pinned, and how it is run. */
export interface PreparedFix {
  sql: string;
  sha256: string;
  /** The file it came from; null for any other SQL. */
  file: string | null;
  step: RenderedStep;
}

/** What happened to one step: part of `state`, `show` and the ledger. */
export interface StepOutcome extends Usage {
  id: string;
  status: StepStatus;
  /** How often the step itself was run to an end. */
  attempts: number;
  /** Remedies that were applied, in order. */
  remedies: string[];
  durationMs: number;
  counts: Record<string, number>;
  jobIds: string[];
  /** The last failure, kept when the step was healed. */
  failure: Failure | null;
  log: string | null;
  state: Json;
  /** Limits that it crossed and only warned of. */
  warnings: string[];
}

/** Result of the query `state`. */
export interface PartitionState {
  pipeline: string;
  partition: string;
  status: PartitionStatus;
  /** The step under way, or the one that waits. */
  step: string | null;
  steps: StepOutcome[];
  /** The failure that waits for a decision. */
  failure: Failure | null;
  decisions: DecisionRecord[];
  /** What an adviser, or someone through MCP, suggests for the failure that waits. */
  proposal: Proposal | null;
  /** True while an adviser is at work, or what someone said is being checked. */
  advising: boolean;
  /** ISO time at which `decide_within` decides; null when it waits as long as it takes. */
  decidesAt: string | null;
}

/** Result of the partition workflow, and the details of its failure when it failed. */
export interface PartitionResult {
  pipeline: string;
  partition: string;
  status: PartitionStatus;
  message: string;
  /** Dollars that its steps took, fixes and remedies included; null when none told. */
  costUsd?: number | null;
  /** What the backfill has to write to the ledger. */
  row?: LedgerRow;
}
