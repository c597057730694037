import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { CatchUpInput, CatchUpResult } from '../contracts/catch-up.js';
import { DAYFILL_PIPELINE, SCHEDULED_START_TIME } from '../contracts/search-attributes.js';
import /* webpackDefer: true */ * as checks from './checks.js';
import { startDigest } from './digest.js';
import { parsedInput } from './input.js';
import { addToBackfill, findDue, nightOf, orRefusal } from './run-step.js';

/**
 * One night of a pipeline: finds what is missing or stale and gives it to a backfill, oldest first. It does not wait for the
 * days, so that one that is stuck keeps no later night from starting.
 */
export async function catchUp(rawInput: unknown): Promise<CatchUpResult> {
  const input = parsedInput(checks.catchUpInputSchema, rawInput);
  const { pipeline, lookbackDays, maxPartitions } = input;
  upsertSearchAttributes([{ key: DAYFILL_PIPELINE, value: pipeline }]);
  const night = await orRefusal(nightOf(nominalTime(input), input.timezone, input.notifyAt));
  const { today, digestAt } = night;
  // First, so that people hear in the morning whatever happens now.
  await startDigest({ pipeline, today, lookbackDays, since: lastDigest(digestAt), at: digestAt }, night.digestDay);

  const { missing, stale } = await orRefusal(findDue(pipeline, today, lookbackDays));
  const due = [...missing, ...stale].sort();
  const partitions = due.slice(0, maxPartitions);
  if (partitions.length > 0) await orRefusal(addToBackfill(pipeline, partitions));
  const left = due.length - partitions.length;
  const what = partitions.length === 0 ? 'nothing to do' : partitions.join(', ');
  setCurrentDetails(`Night of **${today}**: ${what}${left === 0 ? '' : `; ${left} more for the next nights`}`);
  return { pipeline, today, partitions, left, digestAt };
}

/** The time that the schedule meant, however late it is: it says which day it is. */
function nominalTime({ scheduledAt }: CatchUpInput): string {
  const { typedSearchAttributes, startTime } = workflowInfo();
  return scheduledAt ?? (typedSearchAttributes.get(SCHEDULED_START_TIME) ?? startTime).toISOString();
}

const DAY_MS = 86_400_000;

/** When people were told last: the schedule hands on what its last night came to. */
function lastDigest(digestAt: string): string {
  const last = workflowInfo().lastResult as Partial<CatchUpResult> | undefined;
  return last?.digestAt ?? new Date(Date.parse(digestAt) - DAY_MS).toISOString();
}
