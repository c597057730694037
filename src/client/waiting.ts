import type { PartitionState } from '../contracts/partition.js';
import type { Dayfill } from './open.js';
import { checkKnown } from './pipelines.js';
import { partitionState } from './status.js';

/** Queries at once. */
const WIDTH = 10;

/** A partition that waits for a decision. */
export type WaitingPartition = PartitionState & { failure: NonNullable<PartitionState['failure']> };

/**
 * Partitions that wait for a decision, of one pipeline or of all, variants included.
 * @param most how many to ask about.
 * @returns those that were asked, and how many wait in all.
 * @throws NoWorkerError when no worker answers, PipelineError when there is no such pipeline.
 */
export async function waitingPartitions(
  dayfill: Dayfill,
  pipeline: string | null,
  most: number,
): Promise<{ total: number; partitions: WaitingPartition[] }> {
  if (pipeline !== null) checkKnown(dayfill, pipeline);
  const ids = await waitingIds(dayfill, pipeline);
  const states: (PartitionState | null)[] = [];
  for (let start = 0; start < Math.min(ids.length, most); start += WIDTH) {
    const batch = ids.slice(start, Math.min(start + WIDTH, most)).map((id) => id.split('/') as [string, string]);
    states.push(...(await Promise.all(batch.map(([name, key]) => partitionState(dayfill, name, key)))));
  }
  // One that was answered meanwhile waits no longer.
  return { total: ids.length, partitions: states.filter(isWaiting) };
}

async function waitingIds(dayfill: Dayfill, pipeline: string | null): Promise<string[]> {
  const conditions = ['WorkflowType = "partition"', 'ExecutionStatus = "Running"', 'DayfillStatus = "waiting"'];
  if (pipeline !== null) conditions.push(`DayfillPipeline = "${pipeline}"`);
  const ids: string[] = [];
  for await (const { workflowId } of dayfill.temporal.workflow.list({ query: conditions.join(' AND ') })) {
    ids.push(workflowId);
  }
  return ids.sort();
}

function isWaiting(state: PartitionState | null): state is WaitingPartition {
  return state !== null && state.failure !== null;
}
