import type { StepLimits, Usage } from './limits.js';

/** The kinds of step that `uses:` can name; each is an activity of the same name. */
export const STEP_KINDS = [
  'dagster/job',
  'dbt/build',
  'bigquery/query',
  'storage/upload',
  'storage/cleanup',
  'check/reconcile',
  'command',
] as const;
export type StepKind = (typeof STEP_KINDS)[number];

/** What runs the SQL of a fix; no pipeline file names it. */
export const FIX_KIND = 'bigquery/fix';
/** Every kind of step that has an activity. */
export type ActivityKind = StepKind | typeof FIX_KIND;

/** JSON as it travels in payloads. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A partition with its bounds; both are ISO dates and inclusive, and equal for a day. */
export interface PartitionBounds {
  key: string;
  start: string;
  end: string;
}

/** What a step activity gets: already templated and checked. */
export interface StepRequest {
  /** `<variant>/<partition>/<step>`: names logs, run files and labels. */
  key: string;
  pipeline: string;
  partition: PartitionBounds;
  step: string;
  /** The var `project_id` of the pipeline; null without it. */
  project: string | null;
  /** The step's `with`, checked by the schema of its kind. */
  with: Record<string, Json>;
  /** Milliseconds after which the step is stopped and classified `timeout`. */
  timeoutMs: number;
  /** Transient failures: how many tries in all, and milliseconds before the second. */
  retry: { attempts: number; initialMs: number };
  /** Missing without any. */
  limits?: StepLimits;
}

/** What a step activity returns; small, because it goes into history. */
export interface StepResult extends Usage {
  /** Numbers worth keeping: rows loaded, rejected, nodes built. */
  counts: Record<string, number>;
  /** Data tests that ran, and how many of them warned. */
  tests: { run: number; warned: number };
  /** Ids of what the step ran elsewhere: BigQuery jobs, a Dagster run, a dbt invocation. */
  jobIds: string[];
  /** The log, relative to the state directory. */
  log: string | null;
  /** Handed to the next partition as `${previous.state.*}`; at most 4 KB. */
  state: Json;
  /** Days whose totals an earlier run of the step had otherwise. */
  revised?: Revisions;
}

/** Days whose totals have changed since they were last told; figures are decimal text, null where there is none. */
export interface Revisions {
  days: { day: string; figures: { name: string; before: string | null; after: string | null }[] }[];
  /** How many days more there are than named. */
  more: number;
}

/** Typed heartbeat: what people see as progress, and what a retry needs to take over. */
export interface StepHeartbeat {
  done?: number;
  total?: number;
  current?: string;
  pid?: number;
  jobId?: string;
  runId?: string;
  /** Uploads in parts that are under way, by object name: the address at which each goes on. */
  uploads?: Record<string, string>;
  /** Transient failures so far; kept across attempts so that a lost worker does not count as one. */
  transientFailures?: number;
  /** Milliseconds that it has run so far, of a step with limits; kept across attempts. */
  ranMs?: number;
  /** What its jobs have taken so far, of a step with limits. */
  bytesBilled?: number;
  slotMs?: number;
  /** Limits that it has warned of; kept across attempts. */
  warned?: string[];
}
