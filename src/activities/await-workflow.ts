import { setInterval } from 'node:timers';
import { Context } from '@temporalio/activity';
import { type Client, WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import type { WorkflowActivities } from '../contracts/activities.js';

const HEARTBEAT_MS = 10_000;

/** Waits for workflows that others started; how they ended does not matter here. */
export function awaitWorkflowActivity(client: Client): WorkflowActivities {
  return {
    async awaitWorkflow(workflowId) {
      const context = Context.current();
      const beat = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
      try {
        await client.withAbortSignal(context.cancellationSignal, () => client.workflow.getHandle(workflowId).result());
      } catch (error) {
        context.cancellationSignal.throwIfAborted();
        if (!(error instanceof WorkflowFailedError || error instanceof WorkflowNotFoundError)) throw error;
      } finally {
        clearInterval(beat);
      }
    },
  };
}
