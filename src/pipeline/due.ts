import type { SourceChanges } from '../contracts/freshness.js';
import { DONE_STATUSES } from '../contracts/status.js';
import { boundsOf, daysOf } from './calendar.js';
import type { PipelineDefinition } from './definition.js';
import type { LatestPartition } from './plan.js';

/** What there is to do among partitions that are over, in the order of the calendar. */
export interface Due {
  /** Not done, by the ledger. */
  missing: string[];
  /** Done, but the source changed since. */
  stale: string[];
}

/**
 * Which of the partitions are missing or stale.
 * @param latest by partition key, from the ledger.
 * @param underWay partitions that run, wait or are planned right now: they are neither.
 */
export function duePartitions(
  definition: PipelineDefinition,
  partitions: readonly string[],
  latest: ReadonlyMap<string, LatestPartition>,
  changes: SourceChanges,
  underWay: ReadonlySet<string> = new Set(),
): Due {
  const idle = partitions.filter((key) => !underWay.has(key));
  return {
    missing: idle.filter((key) => !isDone(latest.get(key))),
    stale: idle.filter((key) => staleSince(definition, key, latest.get(key), changes) !== null),
  };
}

/**
 * When the source of a done partition changed after it was read, as an ISO time; null when it did not, or nobody knows.
 * A change in the very millisecond of the first read counts: its rows may not have been there yet.
 */
export function staleSince(
  definition: PipelineDefinition,
  key: string,
  known: LatestPartition | undefined,
  changes: SourceChanges,
): string | null {
  if (known === undefined || !isDone(known) || isUnwanted(known)) return null;
  const times = daysOf(boundsOf(definition, key)).flatMap((day) => changes.get(day) ?? []);
  const last = times.reduce((a, b) => (Date.parse(a) >= Date.parse(b) ? a : b), '');
  return Date.parse(last) >= Date.parse(known.sourceAsOf) ? last : null;
}

function isDone(known: LatestPartition | undefined): boolean {
  return known !== undefined && DONE_STATUSES.includes(known.status);
}

/** Marked as skipped by hand, rather than given up on the way: no change of the source makes it wanted. */
function isUnwanted({ status, steps }: LatestPartition): boolean {
  return status === 'skipped' && steps.length === 0;
}
