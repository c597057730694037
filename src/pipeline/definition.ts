import type { FailureKind } from '../contracts/failure.js';
import type { FixRules, RemedyClass } from '../contracts/fix.js';
import type { StepLimits, TempTableLimit } from '../contracts/limits.js';
import type { NoticeEvent } from '../contracts/notice.js';
import type { DecideWithin } from '../contracts/partition.js';
import type { OnFailure } from '../contracts/status.js';
import type { ActivityKind, Json } from '../contracts/step.js';
import type { CalendarText } from './calendar-text.js';

/** A pipeline file, checked and with its defaults filled in; `${…}` are still in place. */
export interface PipelineDefinition {
  name: string;
  description: string;
  /** Absolute path of the pipeline's folder; relative paths in `with` start there. */
  dir: string;
  /** With the vars of the file; `forVars` gives that of a start with others. */
  calendar: Calendar;
  calendarText: CalendarText;
  vars: Record<string, VarDefinition>;
  onFailure: OnFailure;
  parallelSafe: boolean;
  concurrency: number;
  /** Pipelines that name the same lock take turns. */
  lock: string | null;
  /** What the SQL of fixes may do; null: there are none but those of remedies, unchecked. */
  fixes: FixDefinition | null;
  /** Whether a decision may carry SQL that is in no file. */
  allowAdHocSql: boolean;
  decideWithin: DecideWithin | null;
  /** Whether days that catch-up started wait for a decision like any other, rather than be skipped by `decideWithin`. */
  critical: boolean;
  /** What tells when the source of each day last changed; null: nobody does, so nothing is stale. */
  freshness: FreshnessDefinition | null;
  notify: NotifyTarget[];
  /** Dollars after which a backfill pauses; null without a budget. */
  budgetUsd: number | null;
  /** Vars of a trial run in a scratch place; null without `smoke:`. */
  smoke: Record<string, string> | null;
  /** What checks all that the pipeline has uploaded; null without `verify:`. */
  verify: VerifyDefinition | null;
  steps: StepDefinition[];
}

export interface VerifyDefinition {
  /** The place in a bucket that is checked. */
  from: string;
  /** A program and its arguments; `${folder}` is where the place was copied to. It prints a report as JSON. */
  run: [string, ...string[]];
  cwd: string | null;
}

export interface FreshnessDefinition {
  /** The query as it stands in the file, or in the SQL file that the file names. */
  sql: string;
  /** Null for those of the vars `project_id`, `location` and `dataset`. */
  project: string | null;
  location: string | null;
  dataset: string | null;
}

export interface FixDefinition extends Omit<FixRules, 'project' | 'location' | 'dataset'> {
  /** Classes of proposals that are applied without asking, with the most rows that each may change. */
  autoApply: Partial<Record<RemedyClass, number>>;
}

/** Someone who is told of `on`; secrets stand in the environment under the name given here. */
export type NotifyTarget = { on: NoticeEvent[] } & (
  | { slack: string }
  | { webhook: string }
  | { email: { to: string[]; from: string; smtp: string } }
);

/** Partitions of `everyDays` days each, the first beginning at `start`; ISO dates, `end` inclusive. */
export interface Calendar {
  everyDays: number;
  start: string;
  end: string | null;
}

export interface VarDefinition {
  default: string;
  /** Regular expression that a whole override must match. */
  pattern: string | null;
  /** Whether a start may change it. */
  overridable: boolean;
}

export interface StepDefinition extends Work {
  id: string;
  title: string;
  remedies: Remedy[];
  /** What runs after a fix in place of the step; empty: the step itself. */
  afterFix: Work[];
  limits: LimitsDefinition | null;
  /** What runs once the step has been stopped for a limit. */
  cleanup: Work[];
}

/** Names of tables may have `${…}` in them. */
export interface LimitsDefinition extends Omit<StepLimits, 'tempTables'> {
  tempTables: TempTableDefinition[];
}
export interface TempTableDefinition extends Omit<TempTableLimit, 'project' | 'dataset'> {
  /** Null for the vars `project_id` and `dataset`. */
  project: string | null;
  dataset: string | null;
}

/** What is run: a step itself, or a step of a remedy. */
export interface Work {
  uses: ActivityKind;
  /** Keys as in the file. */
  with: Record<string, Json>;
  timeoutMs: number;
  /** Transient failures: tries in all, and milliseconds before the second. */
  retry: { attempts: number; initialMs: number };
}

export interface Remedy {
  id: string;
  when: RemedyCondition;
  /** How often it may be applied within one partition. */
  attempts: number;
  run: Work[];
  then: 'retry' | 'continue';
}

/** All that is given must match. */
export interface RemedyCondition {
  /** Name of a test, or a glob over names with `*` and `?`. */
  test?: string | undefined;
  /** Regular expression over the classified message. */
  error?: string | undefined;
  kind?: FailureKind | undefined;
  exitCode?: number | undefined;
}
