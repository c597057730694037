import { WorkflowUpdateFailedError } from '@temporalio/client';
import type { Decision, DecisionReceipt } from '../contracts/decision.js';
import { partitionId } from '../contracts/ids.js';
import { resolveUpdate } from '../contracts/messages.js';
import { StateError } from './errors.js';
import type { Dayfill } from './open.js';
import { partitionBounds } from './pipelines.js';
import { partitionState } from './status.js';

/**
 * Answers the failure that a partition waits with; a decision that names none answers the one that waits.
 * @throws StateError when nothing waits, or the decision is refused; the message is the workflow's reason.
 */
export async function decide(
  dayfill: Dayfill,
  pipeline: string,
  partition: string,
  decision: Decision,
): Promise<DecisionReceipt> {
  partitionBounds(dayfill, pipeline, partition);
  // Asks first: an update to workflows that no worker serves would hang, and could be taken much later.
  const state = await partitionState(dayfill, pipeline, partition);
  if (state === null) throw new StateError(`${partition} of ${pipeline} is not running: nothing waits.`);
  const failure = decision.failure ?? state.failure?.id;
  const handle = dayfill.temporal.workflow.getHandle(partitionId(pipeline, partition));
  try {
    return await handle.executeUpdate(resolveUpdate, {
      args: [failure === undefined ? decision : { ...decision, failure }],
    });
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) throw new StateError(error.cause?.message ?? error.message);
    throw error;
  }
}
