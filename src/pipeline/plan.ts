import type { AddInput, BackfillInput, Plan, PlannedPartition } from '../contracts/backfill.js';
import type { SourceChanges } from '../contracts/freshness.js';
import { DONE_STATUSES, type PartitionStatus, type StepStatus } from '../contracts/status.js';
import { boundsOf, partitionsOfRange } from './calendar.js';
import type { PipelineDefinition } from './definition.js';
import { staleSince } from './due.js';
import { PartitionError } from './errors.js';
import { effectiveVars, needsPreviousState, stepIndex } from './render.js';

/** The latest that the ledger knows of a partition. */
export interface LatestPartition {
  status: PartitionStatus;
  /** ISO time before its first read. */
  sourceAsOf: string;
  steps: { id: string; status: StepStatus }[];
}

const REASONS: Record<PartitionStatus, string> = {
  succeeded: 'already succeeded',
  fixed: 'already fixed',
  skipped: 'skipped before',
  failed: 'failed before',
  waiting: 'waiting before',
  running: 'unfinished before',
  pending: 'never run',
};

/**
 * What a backfill will do with each partition, in the order they run.
 * @param latest by partition key, from the ledger.
 * @param changes of the source, for an input that says `stale`.
 * @throws PartitionError when the input does not fit the pipeline or the ledger.
 */
export function planPartitions(
  definition: PipelineDefinition,
  input: BackfillInput,
  latest: ReadonlyMap<string, LatestPartition>,
  changes: SourceChanges = new Map(),
): Plan {
  const onFailure = input.onFailure ?? definition.onFailure;
  const concurrency = input.concurrency ?? definition.concurrency;
  effectiveVars(definition, input.vars);
  if (!definition.parallelSafe && concurrency > 1) throw notParallelSafe(definition, `concurrency ${concurrency}`);
  if (!definition.parallelSafe && onFailure === 'park') throw notParallelSafe(definition, 'onFailure park');
  if (input.order === 'desc' && needsPreviousState(definition)) {
    throw new PartitionError(
      `${definition.name} hands state from one partition to the next, so it cannot run in order desc.`,
    );
  }
  const earlier = definition.steps.slice(0, stepIndex(definition, input.fromStep)).map((step) => step.id);
  const asked = requestedPartitions(definition, input);
  const excluded = checkedExclusions(definition, input.exclude ?? [], asked);

  const partitions = asked.map((partition): PlannedPartition => {
    const known = latest.get(partition);
    if (excluded.has(partition)) return { partition, action: 'skip', reason: 'excluded' };
    const changedAt = input.stale === true ? staleSince(definition, partition, known, changes) : null;
    const reason = changedAt === null ? REASONS[known?.status ?? 'pending'] : `stale: source changed at ${changedAt}`;
    const isDone = known !== undefined && DONE_STATUSES.includes(known.status);
    if (isDone && changedAt === null && input.force !== true) return { partition, action: 'skip', reason };
    checkEarlierSteps(partition, earlier, known);
    return { partition, action: 'run', reason: input.force === true ? 'forced' : reason };
  });
  if (input.order === 'desc') partitions.reverse();
  return {
    pipeline: definition.name,
    partitions,
    concurrency,
    onFailure,
    notifies: definition.notify.length > 0,
    budgetUsd: definition.budgetUsd,
  };
}

/**
 * Keys that an input asks for, each once, in the order of the calendar.
 * @throws PartitionError for what is not on the calendar.
 */
export function requestedPartitions(definition: PipelineDefinition, input: AddInput): string[] {
  if (input.partitions === undefined) return partitionsOfRange(definition, input.from ?? '', input.to ?? '');
  return [...new Set(input.partitions.map((key) => boundsOf(definition, key).key))].sort();
}

function checkedExclusions(definition: PipelineDefinition, exclude: string[], asked: string[]): Set<string> {
  const known = new Set(asked);
  for (const key of exclude) {
    boundsOf(definition, key);
    if (!known.has(key)) throw new PartitionError(`Cannot exclude ${key}: it is not among the partitions asked for.`);
  }
  return new Set(exclude);
}

function checkEarlierSteps(partition: string, earlier: string[], known: LatestPartition | undefined): void {
  for (const id of earlier) {
    const status = known?.steps.find((step) => step.id === id)?.status;
    if (status === 'succeeded' || status === 'fixed') continue;
    throw new PartitionError(
      `${partition} cannot begin at a later step: its step ${id} ${status === undefined ? 'never ran' : `is ${status}`}; run it from the start.`,
    );
  }
}

function notParallelSafe(definition: PipelineDefinition, what: string): PartitionError {
  return new PartitionError(
    `${definition.name} runs its partitions one after the other, so ${what} is refused; its file would have to say parallel_safe: true.`,
  );
}
