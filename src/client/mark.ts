import { randomUUID } from 'node:crypto';
import { partitionId } from '../contracts/ids.js';
import type { LedgerRow } from '../contracts/ledger.js';
import { boundsOf, partitionsOfRange } from '../pipeline/calendar.js';
import { StateError } from './errors.js';
import type { Dayfill } from './open.js';
import { openWorkflows } from './status.js';

/**
 * Records partitions that were done, or are not wanted, without running them.
 * @returns the keys that were recorded.
 * @throws StateError when one of them is running.
 */
export async function markPartitions(
  dayfill: Dayfill,
  pipeline: string,
  range: { from: string; to: string },
  status: 'succeeded' | 'skipped',
  reason: string,
): Promise<string[]> {
  const definition = dayfill.pipeline(pipeline);
  const keys = partitionsOfRange(definition, range.from, range.to);
  const { partitions: open } = await openWorkflows(dayfill, pipeline);
  const running = keys.find((key) => open.has(key));
  if (running !== undefined) {
    throw new StateError(`${running} of ${pipeline} is running: let it end, or cancel it, before marking it.`);
  }
  const now = new Date().toISOString();
  const rows = keys.map((key): LedgerRow => {
    const { start, end } = boundsOf(definition, key);
    return {
      pipeline,
      partition: key,
      partitionStart: start,
      partitionEnd: end,
      status,
      workflowId: partitionId(pipeline, key),
      runId: `mark-${randomUUID()}`,
      sequence: 1,
      startedAt: now,
      recordedAt: now,
      sourceAsOf: now,
      reason,
      steps: [],
      decisions: [],
    };
  });
  await dayfill.ledger.append(...rows);
  return keys;
}
