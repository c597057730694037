import { Context } from '@temporalio/activity';
import { type Client, WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { WorkflowActivities } from '../contracts/activities.js';
import { withTimeLimit } from '../time-limit.js';

/** How long one attempt waits: it takes a place among the worker's steps, which what it waits for may need. */
const PATIENCE_MS = 2000;
/** Seconds between two attempts, which grow with how long it has taken so far. */
const LONGEST_PAUSE = 15;

/** Waits for workflows that others started; how they ended does not matter here. */
export function awaitWorkflowActivity(client: Client): WorkflowActivities {
  return {
    async awaitWorkflow(workflowId) {
      const { cancellationSignal, info } = Context.current();
      const signal = withTimeLimit(cancellationSignal, PATIENCE_MS);
      try {
        await client.withAbortSignal(signal, () => client.workflow.getHandle(workflowId).result());
      } catch (error) {
        cancellationSignal.throwIfAborted();
        if (error instanceof WorkflowFailedError || error instanceof WorkflowNotFoundError) return;
        if (!signal.aborted) throw error;
        throw ApplicationFailure.create({
          message: `${workflowId} is still running.`,
          nextRetryDelay: `${Math.min(info.attempt, LONGEST_PAUSE)} seconds`,
          category: ApplicationFailureCategory.BENIGN,
        });
      }
    },
  };
}
