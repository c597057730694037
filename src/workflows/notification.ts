import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { log, ParentClosePolicy, startChild, WorkflowIdReusePolicy, workflowInfo } from '@temporalio/workflow';
import type { Notice } from '../contracts/notice.js';
import { notify, stepFailureOf } from './run-step.js';

/** Tells people one thing; a workflow of its own, so that a webhook that is dead never holds up a day. */
export async function notification(notice: Notice): Promise<void> {
  try {
    await notify.executeWithOptions({ summary: `${notice.pipeline} · ${notice.event}` }, [notice]);
  } catch (error) {
    log.error('nobody could be told', { event: notice.event, reason: stepFailureOf(error).message });
  }
}

/**
 * Sends a notice on its way.
 * @param occasion what it is about: the same occasion within one backfill, such as one incident on thirty days, is told once.
 */
export async function tell(notice: Omit<Notice, 'at'>, occasion: string): Promise<void> {
  const { parent, runId } = workflowInfo();
  try {
    await startChild(notification, {
      workflowId: `notification/${notice.pipeline}/${notice.event}/${occasion}/${parent?.runId ?? runId}`,
      args: [{ ...notice, at: new Date().toISOString() }],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
      staticSummary: `${notice.pipeline} · ${notice.event}`,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
