import { WorkflowUpdateFailedError } from '@temporalio/client';
import type { AlikeInput, AlikeReceipt } from '../contracts/decision.js';
import { backfillId, partitionId } from '../contracts/ids.js';
import { resolveAlikeUpdate, standingOrderSignal } from '../contracts/messages.js';
import { canaryOf } from '../pipeline/canary.js';
import { StateError } from './errors.js';
import type { Dayfill } from './open.js';
import { checkKnown } from './pipelines.js';
import { backfillProgress, openWorkflows, partitionState } from './status.js';

/**
 * Makes what healed one partition the answer to every failure of its fingerprint: of the partitions that wait now, and of
 * later ones of the running backfill.
 * @throws PartitionError when no partition was healed by it yet, StateError when nothing waits and no backfill runs.
 */
export async function resolveAlike(dayfill: Dayfill, pipeline: string, alike: AlikeInput): Promise<AlikeReceipt> {
  checkKnown(dayfill, pipeline);
  const { action, canary } = canaryOf(pipeline, await dayfill.ledger.rows(pipeline), alike);
  const progress = await backfillProgress(dayfill, pipeline);
  const receipt =
    progress === null
      ? { fingerprint: alike.fingerprint, action, canary, released: [], stands: false }
      : await byBackfill(dayfill, pipeline, alike);
  const alone = await waitingAlone(dayfill, pipeline, alike.fingerprint, Object.keys(progress?.live ?? {}));
  for (const { partition, failure } of alone) {
    const handle = dayfill.temporal.workflow.getHandle(partitionId(pipeline, partition));
    await handle.signal(standingOrderSignal, { ...alike, failure });
  }
  if (progress === null && alone.length === 0) {
    throw new StateError(
      `No partition of ${pipeline} waits with the fingerprint ${alike.fingerprint}, and no backfill runs.`,
    );
  }
  return { ...receipt, released: [...receipt.released, ...alone.map(({ partition }) => partition)] };
}

async function byBackfill(dayfill: Dayfill, pipeline: string, alike: AlikeInput): Promise<AlikeReceipt> {
  try {
    const handle = dayfill.temporal.workflow.getHandle(backfillId(pipeline));
    return await handle.executeUpdate(resolveAlikeUpdate, { args: [alike] });
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) throw new StateError(error.cause?.message ?? error.message);
    throw error;
  }
}

/** Partitions that wait with the fingerprint and belong to no running backfill. */
async function waitingAlone(
  dayfill: Dayfill,
  pipeline: string,
  fingerprint: string,
  live: string[],
): Promise<{ partition: string; failure: string }[]> {
  const { partitions } = await openWorkflows(dayfill, pipeline);
  const alone = [...partitions].filter(([key, { status }]) => status === 'waiting' && !live.includes(key));
  const states = await Promise.all(alone.map(([key]) => partitionState(dayfill, pipeline, key)));
  return states.flatMap((state) =>
    state?.failure?.fingerprint === fingerprint ? [{ partition: state.partition, failure: state.failure.id }] : [],
  );
}
