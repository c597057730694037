import type { Failure } from '../contracts/failure.js';
import type { FailingTest, FixRules, RemedyClass } from '../contracts/fix.js';
import type { PartitionBounds } from '../contracts/step.js';
import type { WarehouseReader } from './warehouse-reader.js';

/** Who is asked what to do about a failure. */
export interface Adviser {
  /** What a proposal names as its author: `rules`, or a model. */
  readonly name: string;
  /**
   * A fix for the failure; null when it has none.
   * @param refused what it suggested before for this failure, and why that will not do.
   * @throws when the warehouse cannot be asked for now, or the signal aborts.
   */
  propose(context: AdviceContext, refused?: RefusedSuggestion): Promise<Suggestion | null>;
}

export interface Suggestion {
  sql: string;
  /** One or two sentences for the person who decides. */
  explanation: string;
  /** From 0 to 1. */
  confidence: number;
  remedyClass: RemedyClass;
  /** Rows that it is expected to take away or change; null when it does not know. */
  expectedRows: number | null;
}

export interface RefusedSuggestion {
  sql: string;
  reason: string;
}

/** A decision that healed a partition of the same fingerprint. */
export interface PastDecision {
  partition: string;
  sql: string;
  sha256: string | null;
  /** Masked. */
  note: string | null;
  /** Masked. */
  decidedBy: string | null;
  /** ISO time. */
  decidedAt: string;
}

/** What an adviser works from. Whatever it reads of rows comes masked from `warehouse`. */
export interface AdviceContext {
  failure: Failure;
  partition: PartitionBounds;
  rules: FixRules;
  /** The failing tests that are known; may be fewer than the failure names. */
  tests: FailingTest[];
  /** Latest first. */
  past: PastDecision[];
  warehouse: WarehouseReader;
  signal: AbortSignal;
}
