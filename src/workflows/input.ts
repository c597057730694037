import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import type { z } from 'zod';
import { BAD_INPUT } from '../contracts/failure.js';
import /* webpackDefer: true */ * as checks from './checks.js';

/**
 * Checks the input of a workflow and that the workflow runs under the id that this input implies: the id is the lock.
 * @throws ApplicationFailure of type `BadInput`, not retried.
 */
export function checkedInput<T>(schema: z.ZodType<T>, raw: unknown, impliedId: (input: T) => string): T {
  const input = parsedInput(schema, raw);
  const expected = impliedId(input);
  const { workflowId, workflowType } = workflowInfo();
  if (workflowId !== expected) {
    throw badInput(`This ${workflowType} must run under the workflow id "${expected}", not "${workflowId}".`);
  }
  return input;
}

/** @throws ApplicationFailure of type `BadInput`, not retried. */
export function parsedInput<S extends z.ZodType>(schema: S, raw: unknown): z.output<S> {
  const parsed = schema.safeParse(raw);
  if (!parsed.success) throw badInput(`The input is not usable: ${checks.firstIssue(parsed.error)}.`);
  return parsed.data;
}

export function badInput(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, BAD_INPUT);
}
