import type { Progress } from '../contracts/backfill.js';
import type { PartitionStatus } from '../contracts/status.js';

/**
 * Partitions that ended in a running backfill which has yet to write their ledger rows, with how they ended.
 * @param latest the ledger as it was read after the progress, by partition key.
 */
export function unrecorded(
  progress: Progress | null,
  latest: ReadonlyMap<string, { recordedAt: string }>,
): Map<string, PartitionStatus> {
  const { ended = {}, startedAt = '' } = progress ?? {};
  const isRecorded = (key: string) => Date.parse(latest.get(key)?.recordedAt ?? '') >= Date.parse(startedAt);
  return new Map(Object.entries(ended).filter(([key]) => !isRecorded(key)));
}

/** All that a running backfill has under way: partitions to come, live ones, and those whose rows it has yet to write. */
export function underWayIn(
  progress: Progress | null,
  latest: ReadonlyMap<string, { recordedAt: string }>,
): Set<string> {
  const { pending = [], live = {} } = progress ?? {};
  return new Set([...pending, ...Object.keys(live), ...unrecorded(progress, latest).keys()]);
}
