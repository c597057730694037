import { ApplicationFailure } from '@temporalio/common';
import { BAD_INPUT } from '../contracts/failure.js';
import { PartitionError, PipelineError } from '../pipeline/errors.js';
import { FreshnessError } from '../warehouse/freshness.js';

/** Input that does not fit fails at once with its sentence; anything else (an outage) is tried again. */
export async function refusingBadInput<T>(work: () => Promise<T>, pipelineProblemType = BAD_INPUT): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof PartitionError || error instanceof FreshnessError) {
      throw ApplicationFailure.nonRetryable(error.message, BAD_INPUT);
    }
    if (error instanceof PipelineError) throw ApplicationFailure.nonRetryable(error.message, pipelineProblemType);
    throw error;
  }
}
