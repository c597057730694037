import { WorkflowNotFoundError } from '@temporalio/client';
import type { Progress } from '../contracts/backfill.js';
import type { Failure } from '../contracts/failure.js';
import type { LedgerRow } from '../contracts/ledger.js';
import { progressQuery, stateQuery } from '../contracts/messages.js';
import type { PartitionState, StepOutcome } from '../contracts/partition.js';
import { type BackfillStatus, PARTITION_STATUSES, type PartitionStatus } from '../contracts/status.js';
import type { StepHeartbeat } from '../contracts/step.js';
import { boundsOf } from '../pipeline/calendar.js';
import { StateError } from './errors.js';
import type { Dayfill } from './open.js';

/** A query needs a worker; without one this is how long to wait before saying so. */
const QUERY_TIMEOUT_MS = 5000;

export interface PartitionLine {
  partition: string;
  status: PartitionStatus;
  step: string | null;
  /** The failure that waits, or that ended the partition; null for one that is well. */
  failure: Failure | null;
}

export interface PipelineStatus {
  pipeline: string;
  state: BackfillStatus;
  total: number;
  counts: Record<PartitionStatus, number>;
  /** Partitions that have a workflow right now. */
  current: string[];
  partitions: PartitionLine[];
}

/** The ledger, the running backfill and the live partitions as one picture. */
export async function pipelineStatus(dayfill: Dayfill, pipeline: string): Promise<PipelineStatus> {
  dayfill.pipeline(pipeline.split('~')[0]!);
  const [rows, progress, running] = await Promise.all([
    dayfill.ledger.latest(pipeline),
    backfillProgress(dayfill, pipeline),
    runningPartitions(dayfill, pipeline),
  ]);
  const lines = new Map<string, PartitionLine>();
  for (const row of rows.values()) lines.set(row.partition, lineOf(row));
  for (const partition of progress?.pending ?? []) {
    lines.set(partition, { partition, status: 'pending', step: null, failure: null });
  }
  const live = new Set([...running, ...Object.keys(progress?.live ?? {})]);
  const states = await Promise.all([...live].map((partition) => partitionState(dayfill, pipeline, partition)));
  for (const state of states) if (state !== null) lines.set(state.partition, lineOf(state));

  const partitions = [...lines.values()].sort((a, b) => (a.partition < b.partition ? -1 : 1));
  const count = (status: PartitionStatus) => partitions.filter((line) => line.status === status).length;
  const counts = Object.fromEntries(PARTITION_STATUSES.map((status) => [status, count(status)]));
  return {
    pipeline,
    state: progress?.status ?? (counts.waiting! > 0 ? 'waiting' : counts.running! > 0 ? 'running' : 'idle'),
    total: partitions.length,
    counts: counts as Record<PartitionStatus, number>,
    current: partitions
      .filter(({ status }) => status === 'running' || status === 'waiting')
      .map((line) => line.partition),
    partitions,
  };
}

function lineOf({ partition, status, steps }: PartitionState | LedgerRow): PartitionLine {
  const troubled = status === 'waiting' || status === 'failed';
  const step = steps.findLast((one) => one.status !== 'pending') ?? null;
  return { partition, status, step: step?.id ?? null, failure: troubled ? (step?.failure ?? null) : null };
}

/** Progress of the running backfill; null when none runs. */
export async function backfillProgress(dayfill: Dayfill, pipeline: string): Promise<Progress | null> {
  const handle = dayfill.temporal.workflow.getHandle(`backfill/${pipeline}`);
  try {
    if ((await handle.describe()).status.name !== 'RUNNING') return null;
    return await asking(dayfill, () => handle.query(progressQuery));
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** Partitions of a pipeline that have an open workflow, whoever started them. */
async function runningPartitions(dayfill: Dayfill, pipeline: string): Promise<string[]> {
  const query = `DayfillPipeline = "${pipeline}" AND WorkflowType = "partition" AND ExecutionStatus = "Running"`;
  const found: string[] = [];
  for await (const { workflowId } of dayfill.temporal.workflow.list({ query })) {
    found.push(workflowId.slice(workflowId.indexOf('/') + 1));
  }
  return found;
}

/** What the workflow of a partition says; null when it has none that is open. */
export async function partitionState(
  dayfill: Dayfill,
  pipeline: string,
  partition: string,
): Promise<PartitionState | null> {
  const handle = dayfill.temporal.workflow.getHandle(`${pipeline}/${partition}`);
  try {
    if ((await handle.describe()).status.name !== 'RUNNING') return null;
    return await asking(dayfill, () => handle.query(stateQuery));
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** What the step under way said last: done of total, and what it is at. */
export async function stepProgress(
  dayfill: Dayfill,
  pipeline: string,
  partition: string,
): Promise<StepHeartbeat | null> {
  const description = await dayfill.temporal.workflow.getHandle(`${pipeline}/${partition}`).describe();
  const payload = description.raw.pendingActivities?.[0]?.heartbeatDetails?.payloads?.[0]?.data;
  return payload ? (JSON.parse(Buffer.from(payload).toString()) as StepHeartbeat) : null;
}

async function asking<T>(dayfill: Dayfill, query: () => Promise<T>): Promise<T> {
  try {
    return await dayfill.temporal.withDeadline(Date.now() + QUERY_TIMEOUT_MS, query);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw error;
    throw new StateError(
      'No worker answers for the running workflows: start one with "dayfill stack up" or "dayfill worker".',
      { cause: error },
    );
  }
}

export interface PartitionView {
  pipeline: string;
  partition: string;
  status: PartitionStatus;
  steps: Pick<StepOutcome, 'id' | 'status' | 'attempts' | 'remedies' | 'durationMs' | 'failure' | 'log' | 'counts'>[];
  failure: Failure | null;
  decisions: LedgerRow['decisions'];
  proposal: null;
}

/**
 * One partition: from its workflow while it is open, else from the ledger.
 * @throws PartitionError when it is not on the calendar, StateError when it never ran.
 */
export async function partitionView(dayfill: Dayfill, pipeline: string, partition: string): Promise<PartitionView> {
  const { start, end } = boundsOf(dayfill.pipeline(pipeline.split('~')[0]!), partition);
  const found =
    (await partitionState(dayfill, pipeline, partition)) ??
    (await dayfill.ledger.latest(pipeline, start, end)).get(partition);
  if (found === undefined) throw new StateError(`${partition} of ${pipeline} has never run.`);
  const { status, decisions } = found;
  const { failure } = lineOf(found);
  return { pipeline, partition, status, steps: found.steps, failure, decisions, proposal: null };
}
