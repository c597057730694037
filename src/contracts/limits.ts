import { z } from 'zod';

/** What BigQuery jobs took; null where the warehouse told nothing. */
export interface Usage {
  bytesBilled: number | null;
  slotMs: number | null;
  /** Dollars, by the prices of the settings. */
  costUsd: number | null;
}

/** Bounds of a step; null where there is none. What crosses one stops the step, or is only warned of. */
export interface StepLimits {
  runtimeMs: number | null;
  bytesBilled: number | null;
  slotMs: number | null;
  costUsd: number | null;
  tempTables: TempTableLimit[];
  onLimit: OnLimit;
}

export const ON_LIMIT = ['wait', 'warn'] as const;
export type OnLimit = (typeof ON_LIMIT)[number];

/** Tables of a dataset that may hold only so many days. */
export interface TempTableLimit {
  project: string;
  dataset: string;
  /** Name of a table, or a glob with `*` and `?`. */
  like: string;
  dateColumn: string;
  /** Most distinct days in that column. */
  maxDays: number;
}

/** What a step tells its partition when it crosses a limit that it only warns of. */
export const limitWarningSchema = z.strictObject({ step: z.string().max(200), message: z.string().max(4096) });
export type LimitWarning = z.infer<typeof limitWarningSchema>;

/** Argument of a backfill's signal `resume`: a budget in place of the pipeline's, for all that the backfill has spent and will. */
export const resumeInputSchema = z.strictObject({ budgetUsd: z.number().positive().max(1e9).optional() });
export type ResumeInput = z.infer<typeof resumeInputSchema>;
