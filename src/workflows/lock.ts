import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { condition, ParentClosePolicy, startChild } from '@temporalio/workflow';
import { lockId } from '../contracts/ids.js';
import { awaitWorkflow } from './run-step.js';

/** Holds a lock by being there: its id is the lock, and it ends with the partition that started it. */
export async function lock(): Promise<void> {
  await condition(() => false);
}

/** Waits for this partition's turn among the pipelines that name the same lock. */
export async function takeLock(name: string): Promise<void> {
  const workflowId = lockId(name);
  for (;;) {
    try {
      await startChild(lock, { workflowId, parentClosePolicy: ParentClosePolicy.TERMINATE });
      return;
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      await awaitWorkflow(workflowId);
    }
  }
}
