import { z } from 'zod';
import { type BackfillStatus, ON_FAILURE, type OnFailure, PARTITION_STATUSES, type PartitionStatus } from './status.js';

const key = z.string().min(1).max(40);
/** Refuses anything that could not stand in a workflow id, a path or a label. */
export const pipelineName = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,62}$/, 'a pipeline is named by lower-case letters, digits, "-" and "_", e.g. "talbots"');
export const varsSchema = z.record(z.string().regex(/^[a-z][a-z0-9_]*$/i), z.string().max(1000));

const ofCatchUp = {
  /** Also those that are done, where the source changed since. */
  stale: z.boolean().optional(),
  /** Who wants these partitions, when no person does: `critical: false` lets them be skipped. */
  startedBy: z.literal('catch-up').optional(),
};

/**
 * Input of the backfill workflow: small enough to type in the Web UI or with the `temporal` command line.
 * Either `from` and `to` (inclusive ISO dates) or `partitions` (keys).
 */
export const backfillInputSchema = z
  .strictObject({
    pipeline: pipelineName,
    from: key.optional(),
    to: key.optional(),
    partitions: z.array(key).min(1).max(10_000).optional(),
    exclude: z.array(key).max(10_000).optional(),
    order: z.enum(['asc', 'desc']).optional(),
    concurrency: z.number().int().min(1).max(100).optional(),
    onFailure: z.enum(ON_FAILURE).optional(),
    force: z.boolean().optional(),
    fromStep: z.string().min(1).max(100).optional(),
    vars: varsSchema.optional(),
    reason: z.string().max(2000).optional(),
    ...ofCatchUp,
  })
  .refine((input) => (input.from === undefined) === (input.to === undefined), { message: 'give both from and to' })
  .refine((input) => (input.from === undefined) !== (input.partitions === undefined), {
    message: 'give either from and to, or partitions',
  });
export type BackfillInput = z.infer<typeof backfillInputSchema>;

/** More partitions for a running backfill: the same words as at its start. */
export const addInputSchema = z
  .strictObject({
    from: key.optional(),
    to: key.optional(),
    partitions: z.array(key).min(1).max(10_000).optional(),
    ...ofCatchUp,
  })
  .refine((input) => (input.from === undefined) === (input.to === undefined), { message: 'give both from and to' })
  .refine((input) => (input.from === undefined) !== (input.partitions === undefined), {
    message: 'give either from and to, or partitions',
  });
export type AddInput = z.infer<typeof addInputSchema>;

/** What will happen to one partition, and why. */
export interface PlannedPartition {
  partition: string;
  action: 'run' | 'skip';
  reason: string;
}

/** A checked plan; `partitions` are in the order they run. */
export interface Plan {
  pipeline: string;
  partitions: PlannedPartition[];
  concurrency: number;
  onFailure: OnFailure;
  /** Whether anyone is to be told. */
  notifies: boolean;
  /** Dollars after which no further partition starts; null without a budget. */
  budgetUsd?: number | null;
  /** Whether the backfill writes the ledger rows of days that needed nobody: unless each day asks for the row of the one before. */
  writesRows?: boolean;
  /** The step that a partition begins with. */
  firstStep?: string;
}

const partitionReportSchema = z.strictObject({
  status: z.enum(PARTITION_STATUSES),
  step: z.string().nullable(),
  failure: z.strictObject({ id: z.string(), fingerprint: z.string(), message: z.string() }).nullable(),
  /** Dollars so far; null when nothing told. */
  costUsd: z.number().nullable().optional(),
});
/** What the parent knows of a partition that has a workflow right now. */
export type PartitionReport = z.infer<typeof partitionReportSchema>;

/** What a partition tells its backfill. */
export const partitionChangeSchema = z.strictObject({ partition: key, report: partitionReportSchema });
export type PartitionChange = z.infer<typeof partitionChangeSchema>;

/** Result of the query `progress`. */
export interface Progress {
  pipeline: string;
  status: BackfillStatus;
  /** Partitions of this backfill: ended, live and pending; those that the plan left out are not among them. */
  total: number;
  /** Not started yet, in order. */
  pending: string[];
  /** Running or waiting, by partition key. */
  live: Record<string, PartitionReport>;
  /** How each partition that ran here ended, by partition key. */
  ended: Record<string, PartitionStatus>;
  /** ISO time. */
  startedAt: string;
  /** Milliseconds that the ended partitions took together. */
  endedMs: number;
  /** Dollars that its partitions took so far; null when none told. */
  spentUsd: number | null;
  /** Dollars after which no further partition starts; null without a budget. */
  budgetUsd: number | null;
}

/** How a backfill ended. */
export interface BackfillResult {
  pipeline: string;
  /** Partitions that the plan left out because the ledger has them. */
  planSkipped: number;
  /** Partitions that ran, by how they ended; `waiting` ones were parked. */
  counts: Partial<Record<PartitionStatus, number>>;
}

/** What `add` answers. */
export interface AddReceipt {
  added: string[];
  /** Already done, already in this backfill, or excluded, with the reason. */
  skipped: PlannedPartition[];
}
