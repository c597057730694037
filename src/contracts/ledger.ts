import type { DecisionRecord } from './decision.js';
import type { StepOutcome } from './partition.js';
import type { PartitionStatus } from './status.js';

/** How the run id of a row begins that tells of an undone fix. */
export const UNDO_RUN = 'undo-';

/** A row of the append-only ledger; (runId, sequence) is its key, so one written twice counts once. */
export interface LedgerRow {
  /** The variant name: `talbots`, or `talbots~<hash>` when vars were overridden. */
  pipeline: string;
  partition: string;
  partitionStart: string;
  partitionEnd: string;
  status: PartitionStatus;
  workflowId: string;
  runId: string;
  sequence: number;
  /** ISO times. */
  startedAt: string;
  recordedAt: string;
  sourceAsOf: string;
  reason: string | null;
  steps: StepOutcome[];
  decisions: DecisionRecord[];
}
