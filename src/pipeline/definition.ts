import type { FailureKind } from '../contracts/failure.js';
import type { OnFailure } from '../contracts/status.js';
import type { Json, StepKind } from '../contracts/step.js';

/** A pipeline file, checked and with its defaults filled in; `${…}` are still in place. */
export interface PipelineDefinition {
  name: string;
  description: string;
  /** Absolute path of the pipeline's folder; relative paths in `with` start there. */
  dir: string;
  calendar: Calendar;
  vars: Record<string, VarDefinition>;
  onFailure: OnFailure;
  parallelSafe: boolean;
  concurrency: number;
  /** Pipelines that name the same lock take turns. */
  lock: string | null;
  steps: StepDefinition[];
}

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
}

/** What is run: a step itself, or a step of a remedy. */
export interface Work {
  uses: StepKind;
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
