import { z } from 'zod';
import { pipelineName } from './backfill.js';
import type { NoticePartition } from './notice.js';
import type { PartitionStatus } from './status.js';

export const MAX_LOOKBACK_DAYS = 366;
export const MAX_NIGHTLY_PARTITIONS = 1000;
export const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'expected a time of day such as 08:00');

/** Input of the catch-up workflow: one night of a pipeline. */
export const catchUpInputSchema = z.strictObject({
  pipeline: pipelineName,
  /** Whose calendar says which day it is. */
  timezone: z.string().min(1).max(64).default('UTC'),
  /** Days before today that are looked at. */
  lookbackDays: z.number().int().min(1).max(MAX_LOOKBACK_DAYS).default(14),
  /** Most partitions that one night starts. */
  maxPartitions: z.number().int().min(1).max(MAX_NIGHTLY_PARTITIONS).default(10),
  /** When people are told what came of it. */
  notifyAt: timeOfDay.default('08:00'),
  /** ISO time that decides which day it is. @default the time of the schedule that started it, else now */
  scheduledAt: z.iso.datetime().optional(),
});
export type CatchUpInput = z.output<typeof catchUpInputSchema>;

/** What the time of one night means in its time zone. */
export interface Night {
  /** ISO date: the partitions before it are over. */
  today: string;
  /** ISO date and time of the next digest. */
  digestDay: string;
  digestAt: string;
}

/** What a night found and did. */
export interface CatchUpResult {
  pipeline: string;
  today: string;
  /** Partitions that were given to a backfill. */
  partitions: string[];
  /** How many more are missing or stale, for the next nights. */
  left: number;
  digestAt: string;
}

/** Input of the digest workflow. */
export const digestInputSchema = z.strictObject({
  pipeline: pipelineName,
  today: z.iso.date(),
  lookbackDays: z.number().int(),
  /** ISO times: it tells at `at` what has happened since the digest before. */
  since: z.iso.datetime(),
  at: z.iso.datetime(),
});
export type DigestInput = z.infer<typeof digestInputSchema>;

/** What a digest tells besides the partitions that it names. */
export interface Digest {
  /** ISO time. */
  since: string;
  /** Partitions that ended since, and those that are under way now. */
  counts: Partial<Record<PartitionStatus, number>>;
  /** Those that ended well since, without help. */
  succeeded: string[];
  /** Partitions that cannot start before one that waits. */
  behind: { partition: string; partitions: string[] } | null;
  paused: boolean;
  /** Over, not done, and in no backfill. */
  missing: string[];
  /** What the partitions that ended since cost, as far as the ledger knows. */
  costUsd: number | null;
  /** Why it could not be found out what is missing. */
  problem: string | null;
}

/** What is told in the morning: of the partitions those that are not simply well. */
export interface DigestFindings {
  partitions: NoticePartition[];
  digest: Digest;
}
