import { WorkflowUpdateFailedError } from '@temporalio/client';
import type { Decision, DecisionReceipt } from '../contracts/decision.js';
import { resolveUpdate } from '../contracts/messages.js';
import { StateError } from './errors.js';
import type { Dayfill } from './open.js';
import { partitionBounds } from './pipelines.js';
import { partitionState } from './status.js';

/**
 * Answers the failure that a partition waits with.
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
  if ((await partitionState(dayfill, pipeline, partition)) === null) {
    throw new StateError(`${partition} of ${pipeline} is not running: nothing waits.`);
  }
  const handle = dayfill.temporal.workflow.getHandle(`${pipeline}/${partition}`);
  try {
    return await handle.executeUpdate(resolveUpdate, { args: [decision] });
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) throw new StateError(error.cause?.message ?? error.message);
    throw error;
  }
}
