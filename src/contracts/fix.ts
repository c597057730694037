import { z } from 'zod';
import type { Json } from './step.js';

/** Longest SQL of a fix, in characters: it travels in histories and stands in the ledger. */
export const MAX_FIX_SQL = 20_000;

/** What the SQL of a fix may do: the pipeline's `fixes:`, with its vars filled in. Tables are `dataset.table`. */
export interface FixRules {
  /** Project of tables that name none; where the jobs run. */
  project: string;
  location: string | null;
  /** Dataset of tables that name none. */
  dataset: string | null;
  /** Datasets that a fix may read and change. */
  datasets: string[];
  /** Tables that a fix may create besides those whose name says `quarantine` or `backup`. */
  creates: string[];
  /** Columns that hold the day of a row, by table, where the table is not partitioned by it. */
  dayColumns: Record<string, string>;
  /** A fix that changes more rows is rolled back. */
  maxRows: number;
  /** Bytes that each of its jobs may bill; null without a bound. */
  maxBytesBilled: number | null;
}

/** One statement of a fix, as parsed. Tables are `project.dataset.table`. */
export interface FixStatement {
  kind: 'create' | 'insert' | 'update' | 'delete' | 'merge';
  table: string;
  /** Line of the text where it begins, from 1. */
  line: number;
}

/** A row that a fix changes; null before for a new row, null after for one that is gone. Personal data is masked. */
export interface RowChange {
  table: string;
  before: Record<string, Json> | null;
  after: Record<string, Json> | null;
}

/** What a fix would do, found out on scratch copies of the partition's rows. */
export interface Rehearsal {
  allowed: boolean;
  /** Why it is not allowed, in one sentence. */
  reason: string | null;
  statements: FixStatement[];
  /** Rows that it changes, adds or removes; what it puts into quarantine or backup tables does not count. Null when it could not be run. */
  rows: number | null;
  /** At most ten of those rows. */
  sample: RowChange[];
  /** Whether the failing tests pass on the result; null when there are none, or they cannot be told from it. */
  testPasses: boolean | null;
}

/** A data test that failed, as its definition says it. Tables are `project.dataset.table`. */
export interface FailingTest {
  name: string;
  /** `unique`, `not_null`, `accepted_values`, `relationships`, another generic test, or null for a singular one. */
  kind: string | null;
  /** Table that is tested. */
  table: string | null;
  column: string | null;
  /** Other arguments of the test: `values`; `to` (a table) and `field`; `where`: the rows that it looks at. */
  arguments: Record<string, Json>;
  /** Compiled SQL that selects the failing rows. */
  sql: string;
  /** Compiled SQL of the model that is tested; null for a source. */
  modelSql: string | null;
  /** Tables that the tested one is built from, by any number of steps, that the build itself does not make. */
  sources: string[];
}

/** A fix that an adviser suggests. */
export interface Proposal {
  /** Failure that it answers. */
  failure: string;
  sql: string;
  /** SHA-256 of the SQL as UTF-8, in hex: what an approval names. */
  sha256: string;
  /** One or two sentences for the person who decides. */
  explanation: string;
  /** From 0 to 1. */
  confidence: number;
  /** How it was arrived at: what `auto_apply` names. */
  remedyClass: RemedyClass;
  /** `rules`, a model's name, or who proposed it. */
  proposedBy: string;
  /** Whether it came through MCP: what proposed a fix there cannot approve it. */
  viaMcp: boolean;
  rehearsal: Rehearsal;
}

export const REMEDY_CLASSES = [
  'unique',
  'not_null',
  'accepted_values',
  'relationships',
  'past_decision',
  'model',
  'person',
] as const;
export type RemedyClass = (typeof REMEDY_CLASSES)[number];

/** What a person or an agent proposes: argument of the update `propose`. */
export const proposalInputSchema = z.strictObject({
  failure: z.string().max(2000),
  sql: z.string().min(1).max(MAX_FIX_SQL),
  explanation: z.string().max(2000).optional(),
  by: z.string().max(2000).optional(),
  viaMcp: z.boolean().optional(),
});
export type ProposalInput = z.infer<typeof proposalInputSchema>;
