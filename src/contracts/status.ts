/** Where a partition can be; `fixed` is succeeded after a remedy or a decision. */
export const PARTITION_STATUSES = ['pending', 'running', 'waiting', 'succeeded', 'fixed', 'skipped', 'failed'] as const;
export type PartitionStatus = (typeof PARTITION_STATUSES)[number];

/** Statuses after which a partition needs no further run. */
export const DONE_STATUSES: readonly PartitionStatus[] = ['succeeded', 'fixed', 'skipped'];

/** Where a step of a partition can be; the words are those of partitions. */
export type StepStatus = PartitionStatus;

/** What a backfill as a whole is doing. */
export type BackfillStatus = 'idle' | 'running' | 'waiting' | 'paused' | 'cancelling';

/** What happens to the line when a day has a failure that no remedy covers. */
export const ON_FAILURE = ['wait', 'park', 'stop'] as const;
export type OnFailure = (typeof ON_FAILURE)[number];
