/** A query that tells when the source of each day last changed, ready to run. */
export interface FreshnessQuery {
  /** The variant name, for messages and labels. */
  pipeline: string;
  /** Gives the columns `day` (DATE) and `changed_at` (TIMESTAMP); @partition_start and @partition_end are bound as DATE. */
  sql: string;
  project: string;
  location: string | null;
  /** Dataset of tables that name none. */
  dataset: string | null;
}

/** When the source of a day last changed: ISO times by ISO date; days that are not there are not known to have changed. */
export type SourceChanges = ReadonlyMap<string, string>;
