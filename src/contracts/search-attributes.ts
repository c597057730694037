import { defineSearchAttributeKey, type SearchAttributePair } from '@temporalio/common';
import { variantName } from './ids.js';
import type { PartitionInput } from './partition.js';

/** Typed search attributes: what people filter by in the Temporal Web UI, e.g. `DayfillStatus="waiting"`. */
export const DAYFILL_PIPELINE = defineSearchAttributeKey('DayfillPipeline', 'KEYWORD');
export const DAYFILL_PARTITION = defineSearchAttributeKey('DayfillPartition', 'KEYWORD');
export const DAYFILL_STATUS = defineSearchAttributeKey('DayfillStatus', 'KEYWORD');
export const DAYFILL_STEP = defineSearchAttributeKey('DayfillStep', 'KEYWORD');

/** Temporal's own: the time for which a schedule started a workflow, however late it did. */
export const SCHEDULED_START_TIME = defineSearchAttributeKey('TemporalScheduledStartTime', 'DATETIME');

/** What a partition is found by from its start; its first step where that is known. */
export function partitionAttributes(
  { pipeline, partition, vars }: PartitionInput,
  firstStep?: string,
): SearchAttributePair[] {
  return [
    { key: DAYFILL_PIPELINE, value: variantName(pipeline, vars) },
    { key: DAYFILL_PARTITION, value: partition },
    { key: DAYFILL_STATUS, value: 'running' },
    ...(firstStep === undefined ? [] : [{ key: DAYFILL_STEP, value: firstStep }]),
  ];
}

/** Names that a namespace must have before a worker may start. */
export const SEARCH_ATTRIBUTE_NAMES: readonly string[] = [
  DAYFILL_PIPELINE.name,
  DAYFILL_PARTITION.name,
  DAYFILL_STATUS.name,
  DAYFILL_STEP.name,
];
