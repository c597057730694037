import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ParentClosePolicy,
  sleep,
  startChild,
  upsertSearchAttributes,
  WorkflowIdReusePolicy,
} from '@temporalio/workflow';
import type { DigestInput } from '../contracts/catch-up.js';
import { digestId } from '../contracts/ids.js';
import { DAYFILL_PIPELINE } from '../contracts/search-attributes.js';
import /* webpackDefer: true */ * as checks from './checks.js';
import { parsedInput } from './input.js';
import { notification } from './notification.js';
import { gatherDigest } from './run-step.js';

/** Waits for the morning, then tells people how a pipeline with catch-up stands; silent when there is nothing to tell. */
export async function digest(rawInput: unknown): Promise<void> {
  const input = parsedInput(checks.digestInputSchema, rawInput);
  const { pipeline, at } = input;
  upsertSearchAttributes([{ key: DAYFILL_PIPELINE, value: pipeline }]);
  const left = Date.parse(at) - Date.now();
  if (left > 0) await sleep(left, { summary: `tells people at ${at}` });
  const found = await gatherDigest(input);
  if (found === null) return;
  await notification({ event: 'digest', pipeline, at: new Date().toISOString(), backfill: null, ...found });
}

/** Sends the digest of a morning on its way; the same morning has one, however many nights came before it. */
export async function startDigest(input: DigestInput, day: string): Promise<void> {
  try {
    await startChild(digest, {
      workflowId: digestId(input.pipeline, day),
      args: [input],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
      staticSummary: `${input.pipeline} · digest of ${day}`,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
