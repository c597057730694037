import { isGrpcCancelledError, isGrpcDeadlineError, isGrpcServiceError } from '@temporalio/client';
import { TASK_QUEUE } from '../contracts/ids.js';
import { NoWorkerError } from './errors.js';
import type { Dayfill } from './open.js';

/** A worker whose poll is older is gone: each poll lasts a minute. */
const LAST_POLL_MS = 75_000;
/** A worker may have been killed a moment ago; this is how long to wait for its answer before saying so. */
const ANSWER_MS = 5000;
/** gRPC's FAILED_PRECONDITION: the server knows by itself that nobody polls. */
const NOBODY_POLLS = 9;

/** Whether a worker has asked for work lately. One that was killed counts for a minute more. */
export async function workerPolls({ temporal, namespace }: Pick<Dayfill, 'temporal' | 'namespace'>): Promise<boolean> {
  const { pollers } = await temporal.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: TASK_QUEUE },
    taskQueueType: 1,
  });
  const since = Date.now() - LAST_POLL_MS;
  return (pollers ?? []).some(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 > since);
}

/**
 * Asks a workflow something that a worker must answer.
 * @throws NoWorkerError when none does.
 */
export async function askWorker<T>(dayfill: Dayfill, question: () => Promise<T>): Promise<T> {
  if (!(await workerPolls(dayfill))) throw new NoWorkerError();
  try {
    return await dayfill.temporal.withDeadline(Date.now() + ANSWER_MS, question);
  } catch (error) {
    const { cause } = error as Error;
    // A deadline that passes between two tries of the SDK's own is told as a cancellation.
    const late = isGrpcDeadlineError(error) || isGrpcCancelledError(error);
    if (late || (isGrpcServiceError(cause) && cause.code === NOBODY_POLLS)) throw new NoWorkerError();
    throw error;
  }
}
