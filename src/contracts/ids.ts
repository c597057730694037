import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';

/** The one task queue of workflows and activities. */
export const TASK_QUEUE = 'dayfill';

export type Vars = Record<string, string>;

/** SHA-256 of a text as UTF-8, in hex. Pure JavaScript, so that workflows can use it too. */
export function sha256Hex(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)));
}

/** First `length` hex digits of the SHA-256 of a text. */
export function shortHash(text: string, length = 8): string {
  return sha256Hex(text).slice(0, length);
}

/**
 * The name a pipeline has in ids and in the ledger: its own, or `<pipeline>~<hash>` when vars are overridden at start,
 * so that a scratch run can never mark a production day done.
 */
export function variantName(pipeline: string, vars: Vars | undefined): string {
  const entries = Object.entries(vars ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? pipeline : `${pipeline}~${shortHash(JSON.stringify(entries))}`;
}

/** Workflow id of a backfill; Temporal's own id guarantee makes it the lock of the pipeline. */
export function backfillId(pipeline: string, vars?: Vars): string {
  return `backfill/${variantName(pipeline, vars)}`;
}

/** Workflow id of a partition; the same day can never run twice at once. */
export function partitionId(pipeline: string, partition: string, vars?: Vars): string {
  return `${variantName(pipeline, vars)}/${partition}`;
}

/** Workflow id of the holder of a `lock:` that several pipelines share. */
export function lockId(lock: string): string {
  return `lock/${lock}`;
}

/** Id of the schedule of a pipeline's nights; Temporal adds the time to the ids of the workflows that it starts. */
export function catchUpId(pipeline: string): string {
  return `catch-up/${pipeline}`;
}

/** Workflow id of the digest of a morning. @param day ISO date */
export function digestId(pipeline: string, day: string): string {
  return `digest/${pipeline}/${day}`;
}

/** Names a pipeline cannot have, because ids of that shape mean something else. */
export const RESERVED_PIPELINE_NAMES: readonly string[] = ['backfill', 'catch-up', 'digest', 'lock', 'notification'];

/** Key of one piece of step work: `<variant>/<partition>/<step>`, or `….<remedy>.<n>` inside a remedy. */
export function stepKey(pipeline: string, partition: string, step: string, vars?: Vars): string {
  return `${partitionId(pipeline, partition, vars)}/${step}`;
}

/** A client: the prefix of its datasets. */
export const CLIENT = /^[a-z]\w*$/;
/** A Google Cloud project, as BigQuery allows it between backquotes. */
export const PROJECT_ID = /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/;
