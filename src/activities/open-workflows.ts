import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { Progress } from '../contracts/backfill.js';
import { backfillId, partitionId } from '../contracts/ids.js';
import { progressQuery } from '../contracts/messages.js';
import { DAYFILL_STATUS } from '../contracts/search-attributes.js';

/** What a workflow shows as its status while it is open; null when it is not. @param runId the latest run without it. */
export async function openStatus(client: Client, workflowId: string, runId?: string): Promise<string | null> {
  try {
    const { status, typedSearchAttributes } = await client.workflow.getHandle(workflowId, runId).describe();
    return status.name === 'RUNNING' ? (typedSearchAttributes.get(DAYFILL_STATUS) ?? 'running') : null;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** Those of the partitions that have an open workflow, whoever started it, with what each shows as its status. */
export async function openPartitions(
  client: Client,
  pipeline: string,
  partitions: readonly string[],
): Promise<Map<string, string>> {
  const statuses = await Promise.all(partitions.map((key) => openStatus(client, partitionId(pipeline, key))));
  return new Map(partitions.flatMap((key, index) => (statuses[index] == null ? [] : [[key, statuses[index]]])));
}

/** What the running backfill of a pipeline says; null when none runs. */
export async function runningProgress(client: Client, pipeline: string): Promise<Progress | null> {
  const id = backfillId(pipeline);
  return (await openStatus(client, id)) === null ? null : client.workflow.getHandle(id).query(progressQuery);
}
