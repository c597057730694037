import type { Progress } from '../contracts/backfill.js';
import type { PartitionStatus } from '../contracts/status.js';

/**
 * Partitions of a running backfill that began and have no ledger row of it yet, with how it sees them: those that ended wait for
 * theirs, and one that is live may have ended since.
 * @param latest the ledger as it was read after the progress, by partition key.
 */
export function unrecorded(
  progress: Progress | null,
  latest: ReadonlyMap<string, { recordedAt: string }>,
): Map<string, PartitionStatus> {
  const { ended = {}, live = {}, startedAt = '' } = progress ?? {};
  const began = [...Object.entries(live).map(([key, { status }]) => [key, status] as const), ...Object.entries(ended)];
  const isRecorded = (key: string) => Date.parse(latest.get(key)?.recordedAt ?? '') >= Date.parse(startedAt);
  return new Map(began.filter(([key]) => !isRecorded(key)));
}

/** All that a running backfill has under way: partitions to come, live ones, and those that wait for their rows. */
export function underWayIn(
  progress: Progress | null,
  latest: ReadonlyMap<string, { recordedAt: string }>,
): Set<string> {
  const { pending = [], live = {} } = progress ?? {};
  return new Set([...pending, ...Object.keys(live), ...unrecorded(progress, latest).keys()]);
}
