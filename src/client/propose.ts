import { WorkflowUpdateFailedError } from '@temporalio/client';
import type { Proposal, ProposalInput } from '../contracts/fix.js';
import { partitionId } from '../contracts/ids.js';
import { proposeUpdate } from '../contracts/messages.js';
import { StateError } from './errors.js';
import type { Dayfill } from './open.js';
import { partitionBounds } from './pipelines.js';
import { partitionState } from './status.js';

/**
 * Puts SQL before the person who decides about a waiting partition, in place of what was proposed before.
 * @returns the proposal with its hash and its rehearsal.
 * @throws StateError when nothing waits, another failure waits, or the guard refuses the SQL; the message is the reason.
 */
export async function propose(
  dayfill: Dayfill,
  pipeline: string,
  partition: string,
  proposal: ProposalInput,
): Promise<Proposal> {
  partitionBounds(dayfill, pipeline, partition);
  // Asks first: an update to workflows that no worker serves would hang, and could be taken much later.
  if ((await partitionState(dayfill, pipeline, partition)) === null) {
    throw new StateError(`${partition} of ${pipeline} is not running: nothing waits.`);
  }
  const handle = dayfill.temporal.workflow.getHandle(partitionId(pipeline, partition));
  try {
    return await handle.executeUpdate(proposeUpdate, { args: [proposal] });
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) throw new StateError(error.cause?.message ?? error.message);
    throw error;
  }
}
