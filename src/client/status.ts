import { type WorkflowHandle, WorkflowNotFoundError } from '@temporalio/client';
import type { Progress } from '../contracts/backfill.js';
import type { Failure } from '../contracts/failure.js';
import type { LedgerRow } from '../contracts/ledger.js';
import { progressQuery, stateQuery } from '../contracts/messages.js';
import type { PartitionState, StepOutcome } from '../contracts/partition.js';
import { DAYFILL_STATUS, DAYFILL_STEP } from '../contracts/search-attributes.js';
import { type BackfillStatus, PARTITION_STATUSES, type PartitionStatus } from '../contracts/status.js';
import type { PartitionBounds, StepHeartbeat } from '../contracts/step.js';
import { unrecorded } from '../pipeline/under-way.js';
import { NoWorkerError, StateError } from './errors.js';
import type { Dayfill } from './open.js';
import { checkKnown, partitionBounds } from './pipelines.js';
import { askWorker } from './workers.js';

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
  /** Dollars that the running backfill has spent, and may; null without any that tells, or without a budget. */
  spentUsd: number | null;
  budgetUsd: number | null;
  partitions: PartitionLine[];
  /** False when workflows are open and no worker could be asked about them. */
  workerAnswers: boolean;
}

/**
 * The ledger, the running backfill and the live partitions as one picture. Without a worker it is what the ledger and
 * Temporal's search attributes know.
 */
export async function pipelineStatus(dayfill: Dayfill, pipeline: string): Promise<PipelineStatus> {
  checkKnown(dayfill, pipeline);
  const open = await openWorkflows(dayfill, pipeline);
  const told = await toldByWorkers(dayfill, pipeline, open);
  // Read last: what has ended in the meantime is in it, while a day that is gone from the workflows would be nowhere.
  const rows = await dayfill.ledger.latest(pipeline);
  const lines = new Map([...rows.values()].map((row) => [row.partition, lineOf(row)]));
  for (const [partition, status] of unrecorded(told?.progress ?? null, rows)) {
    lines.set(partition, { ...NOTHING_YET, partition, status });
  }
  for (const line of told?.lines ?? seenFromOutside(open, lines)) lines.set(line.partition, line);

  const partitions = [...lines.values()].sort((a, b) => (a.partition < b.partition ? -1 : 1));
  const count = (status: PartitionStatus) => partitions.filter((line) => line.status === status).length;
  const counts = Object.fromEntries(PARTITION_STATUSES.map((status) => [status, count(status)]));
  return {
    pipeline,
    state:
      (told === null ? open.backfill : told.progress?.status) ??
      (counts.waiting! > 0 ? 'waiting' : counts.running! > 0 ? 'running' : 'idle'),
    total: partitions.length,
    counts: counts as Record<PartitionStatus, number>,
    current: partitions
      .filter(({ status }) => status === 'running' || status === 'waiting')
      .map((line) => line.partition),
    spentUsd: told?.progress?.spentUsd ?? null,
    budgetUsd: told?.progress?.budgetUsd ?? null,
    partitions,
    workerAnswers: told !== null,
  };
}

interface ToldByWorkers {
  /** Null when no backfill runs. */
  progress: Progress | null;
  /** Partitions that are open or to come. */
  lines: PartitionLine[];
}

/** What workers say of the open workflows; null when none answers. */
async function toldByWorkers(dayfill: Dayfill, pipeline: string, open: OpenWorkflows): Promise<ToldByWorkers | null> {
  try {
    const progress = open.backfill === null ? null : await backfillProgress(dayfill, pipeline);
    const { live = {}, pending = [] } = progress ?? {};
    const asked = new Set([...open.partitions.keys(), ...Object.keys(live)]);
    const states = await Promise.all([...asked].map((partition) => partitionState(dayfill, pipeline, partition)));
    const answers = states.flatMap((state) => (state === null ? [] : [lineOf(state)]));
    const toCome = pending.map((partition) => ({ ...NOTHING_YET, partition }));
    return { progress, lines: [...toCome, ...answers] };
  } catch (error) {
    if (error instanceof NoWorkerError) return null;
    throw error;
  }
}

const NOTHING_YET = { status: 'pending', step: null, failure: null } as const;

/** Live partitions by their search attributes; why one waits is in its ledger row. */
function seenFromOutside({ partitions }: OpenWorkflows, known: Map<string, PartitionLine>): PartitionLine[] {
  return [...partitions].map(([partition, { status, step }]) => {
    const row = known.get(partition);
    return { partition, status, step, failure: status === 'waiting' ? (row?.failure ?? null) : null };
  });
}

function lineOf({ partition, status, steps }: PartitionState | LedgerRow): PartitionLine {
  const troubled = status === 'waiting' || status === 'failed';
  const step = steps.findLast((one) => one.status !== 'pending') ?? null;
  return { partition, status, step: step?.id ?? null, failure: troubled ? (step?.failure ?? null) : null };
}

/**
 * Progress of the running backfill; null when none runs.
 * @throws NoWorkerError
 */
export async function backfillProgress(dayfill: Dayfill, pipeline: string): Promise<Progress | null> {
  return askIfOpen(dayfill, `backfill/${pipeline}`, (handle) => handle.query(progressQuery));
}

/** Progress of the running backfill; null when none runs, or no worker tells. */
export async function progressIfTold(dayfill: Dayfill, pipeline: string): Promise<Progress | null> {
  try {
    return await backfillProgress(dayfill, pipeline);
  } catch (error) {
    if (error instanceof NoWorkerError) return null;
    throw error;
  }
}

/** What Temporal knows of a pipeline's open workflows without asking a worker. */
export interface OpenWorkflows {
  /** What the backfill does; null when none runs. */
  backfill: BackfillStatus | null;
  /** Live partitions, whoever started them, by key. */
  partitions: Map<string, { status: PartitionStatus; step: string | null }>;
}

/** Open workflows of a pipeline, by Temporal's own visibility. */
export async function openWorkflows(dayfill: Dayfill, pipeline: string): Promise<OpenWorkflows> {
  const query = `DayfillPipeline = "${pipeline}" AND ExecutionStatus = "Running"`;
  const open: OpenWorkflows = {
    backfill: (await isOpen(dayfill, `backfill/${pipeline}`)) ? 'running' : null,
    partitions: new Map(),
  };
  for await (const { workflowId, type, typedSearchAttributes: attributes } of dayfill.temporal.workflow.list({
    query,
  })) {
    const status = attributes.get(DAYFILL_STATUS);
    if (type === 'backfill' && open.backfill !== null) open.backfill = (status ?? 'running') as BackfillStatus;
    if (type !== 'partition') continue;
    const step = attributes.get(DAYFILL_STEP) ?? null;
    open.partitions.set(workflowId.slice(workflowId.indexOf('/') + 1), {
      status: (status ?? 'running') as PartitionStatus,
      step,
    });
  }
  return open;
}

/** Whether a workflow of that id is running. */
export async function isOpen({ temporal }: Dayfill, workflowId: string): Promise<boolean> {
  try {
    return (await temporal.workflow.getHandle(workflowId).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/**
 * What the workflow of a partition says; null when it has none that is open.
 * @throws NoWorkerError
 */
export async function partitionState(
  dayfill: Dayfill,
  pipeline: string,
  partition: string,
): Promise<PartitionState | null> {
  return askIfOpen(dayfill, `${pipeline}/${partition}`, (handle) => handle.query(stateQuery));
}

async function askIfOpen<T>(
  dayfill: Dayfill,
  workflowId: string,
  question: (handle: WorkflowHandle) => Promise<T>,
): Promise<T | null> {
  if (!(await isOpen(dayfill, workflowId))) return null;
  return askWorker(dayfill, () => question(dayfill.temporal.workflow.getHandle(workflowId)));
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

/** One partition: what `state`, `show` and the ledger know of it. */
export interface PartitionView {
  pipeline: string;
  partition: string;
  status: PartitionStatus;
  steps: StepOutcome[];
  failure: Failure | null;
  decisions: LedgerRow['decisions'];
  proposal: PartitionState['proposal'];
  /** True while an adviser is at work. */
  advising: boolean;
  /** ISO time at which `decide_within` decides; null when it waits as long as it takes. */
  decidesAt: string | null;
  /** False when it is open and only the ledger could be asked. */
  workerAnswers: boolean;
}

/**
 * One partition: from its workflow while it is open, else from the ledger.
 * @throws PartitionError when it is not on the calendar, StateError when it never ran.
 */
export async function partitionView(dayfill: Dayfill, pipeline: string, partition: string): Promise<PartitionView> {
  const bounds = partitionBounds(dayfill, pipeline, partition);
  const state = await partitionState(dayfill, pipeline, partition).catch((error: unknown) => {
    if (error instanceof NoWorkerError) return error;
    throw error;
  });
  const told = state instanceof NoWorkerError ? null : state;
  const found = told ?? (await endedPartition(dayfill, pipeline, bounds, partition, state === null));
  if (found === undefined) {
    throw state instanceof NoWorkerError ? state : new StateError(`${partition} of ${pipeline} has never run.`);
  }
  const { status, decisions, steps } = found;
  const { failure } = lineOf(found);
  const workerAnswers = !(state instanceof NoWorkerError);
  const { proposal = null, advising = false, decidesAt = null } = told ?? {};
  return { pipeline, partition, status, steps, failure, decisions, proposal, advising, decidesAt, workerAnswers };
}

/**
 * One that has no workflow to ask, from the ledger; from its closed workflow while its row is still to be written.
 * @param isClosed whether it has no open workflow, rather than one that no worker answers for.
 */
async function endedPartition(
  dayfill: Dayfill,
  pipeline: string,
  bounds: PartitionBounds | null,
  partition: string,
  isClosed: boolean,
): Promise<PartitionState | LedgerRow | undefined> {
  const progress = isClosed ? await progressIfTold(dayfill, pipeline) : null;
  const latest = await dayfill.ledger.latest(pipeline, bounds?.start, bounds?.end);
  const seen = unrecorded(progress, latest).get(partition);
  // One that the backfill is about to start has no workflow at all.
  if (seen === undefined || seen === 'running') return latest.get(partition);
  const handle = dayfill.temporal.workflow.getHandle(`${pipeline}/${partition}`);
  return askWorker(dayfill, () => handle.query(stateQuery));
}
