import type { Digest } from './catch-up.js';
import type { FailureKind } from './failure.js';
import type { PartitionStatus } from './status.js';
import type { Revisions } from './step.js';

/** When people are told. */
export const NOTICE_EVENTS = ['waiting', 'reminder', 'fixed', 'revised', 'finished', 'limit', 'digest'] as const;
export type NoticeEvent = (typeof NOTICE_EVENTS)[number];

/** A partition that a notice is about. */
export interface NoticePartition {
  partition: string;
  status: PartitionStatus;
  step: string | null;
  /** What it waits with, or was healed of. */
  failure: { id: string; fingerprint: string; kind: FailureKind; tests: string[]; message: string } | null;
  proposal: {
    sha256: string;
    explanation: string;
    sql: string;
    rows: number | null;
    testPasses: boolean | null;
  } | null;
  /** ISO time at which `decide_within` decides; null when it waits as long as it takes. */
  decidesAt: string | null;
  /** What healed it, such as `remedy drop-doubles` or `approve (anna)`; only of one that is fixed. */
  healedBy?: string;
  /** The limit that it crossed and only warns of. */
  warning?: string;
}

/** Of a partition as a workflow knows it: a digest says how each stands; why is looked up when it is sent. */
export const UNEXPLAINED = { step: null, failure: null, proposal: null, decidesAt: null };

export type StepRevisions = Revisions & { step: string };

/** What people are told by the targets of the pipeline's `notify:`. */
export interface Notice {
  event: NoticeEvent;
  /** The variant name. */
  pipeline: string;
  /** ISO time. */
  at: string;
  partitions: NoticePartition[];
  /** Days whose totals have changed, by the step that found them; only for `revised`. */
  revised?: StepRevisions[];
  /** How the backfill ended, of `finished`; that it pauses since its budget has run out, of `limit`. */
  backfill: {
    state: 'succeeded' | 'failed' | 'cancelled' | 'paused';
    message: string;
    total: number;
    counts: Partial<Record<PartitionStatus, number>>;
    /** Dollars that its partitions took; null when none told. */
    costUsd?: number | null;
  } | null;
  /** What the morning tells; only for `digest`. */
  digest?: Digest;
}
