import type { Prices } from '../config.js';
import { addKnown } from '../contracts/amounts.js';
import { type LedgerRow, UNDO_RUN } from '../contracts/ledger.js';
import type { StepOutcome } from '../contracts/partition.js';
import type { StepStatus } from '../contracts/status.js';
import { costUsd } from '../warehouse/cost.js';
import type { Ledger } from '../warehouse/ledger.js';
import { type NormalBand, normalBand } from './normal.js';

export const FIGURES = ['bytesBilled', 'slotMs', 'costUsd'] as const;
export type Figure = (typeof FIGURES)[number];
/** Null for what nobody told. */
export type Figures = Record<Figure, number | null>;

/** What a step took in one run of a partition, all of its attempts and remedies together. */
export interface StepCost extends Figures {
  partition: string;
  step: string;
  status: StepStatus;
  startedAt: string;
  runId: string;
  /** What was normal by the runs of the step before this one; null where they are too few. */
  normal: Record<Figure, NormalBand | null>;
  /** Figures outside of that, and on which side. */
  outliers: Partial<Record<Figure, 'low' | 'high'>>;
}

/** What a step took in all. */
export interface CostTotal {
  total: Figures;
  /** In how many of its runs a figure is not known, and so not in the total. */
  unknown: Record<Figure, number>;
}

/** What a pipeline costs, by the ledger. */
export interface CostReport {
  pipeline: string;
  /** By partition, and within it by time; a partition that was run again has lines for each run. */
  lines: StepCost[];
  /** The same by step, in the order of the pipeline. */
  steps: (CostTotal & { step: string; runs: number })[];
  total: CostTotal;
}

/** Days to show, inclusive; what is normal is taken from all days. */
export interface CostDays {
  from?: string | undefined;
  to?: string | undefined;
}

/** @throws StateError when the ledger cannot be read. */
export async function pipelineCost(
  ledger: Ledger,
  prices: Prices,
  pipeline: string,
  { from = '0001-01-01', to = '9999-12-31' }: CostDays,
): Promise<CostReport> {
  const runs = lastRows(await ledger.rows(pipeline));
  const shown = new Set(runs.filter((row) => row.partitionEnd >= from && row.partitionStart <= to));
  const past = new Map<string, StepCost[]>();
  const lines: StepCost[] = [];
  for (const row of runs) {
    for (const step of row.steps.filter(wasRun)) {
      const before = past.get(step.id) ?? [];
      const line = stepCost(row, step, prices, before);
      if (shown.has(row)) lines.push(line);
      // What was broken off says nothing of what is normal.
      if (step.status === 'succeeded' || step.status === 'fixed') past.set(step.id, [...before, line]);
    }
  }
  lines.sort((a, b) => compare(a.partition, b.partition));
  const ids = [...new Set(lines.map(({ step }) => step))];
  const ofStep = (id: string) => lines.filter(({ step }) => step === id);
  const steps = ids.map((step) => ({ step, runs: ofStep(step).length, ...costTotal(ofStep(step)) }));
  return { pipeline, lines, steps, total: costTotal(lines) };
}

/** The last row of each run, which has all of its steps, by the time at which the runs began. */
function lastRows(rows: LedgerRow[]): LedgerRow[] {
  const runs = new Map<string, LedgerRow>();
  for (const row of rows) {
    const before = runs.get(row.runId);
    if (before === undefined || before.sequence < row.sequence) runs.set(row.runId, row);
  }
  // The row of an undone fix repeats the steps of the run before.
  return [...runs.values()]
    .filter(({ runId }) => !runId.startsWith(UNDO_RUN))
    .sort((a, b) => compare(a.startedAt, b.startedAt) || compare(a.partition, b.partition));
}

function wasRun({ attempts, bytesBilled, slotMs }: StepOutcome): boolean {
  return attempts > 0 || bytesBilled !== null || slotMs !== null;
}

function stepCost(row: LedgerRow, step: StepOutcome, prices: Prices, before: readonly StepCost[]): StepCost {
  const { partition, startedAt, runId } = row;
  const { id, status, bytesBilled, slotMs } = step;
  // Rows of an older version lack the price.
  const figures: Figures = { bytesBilled, slotMs, costUsd: step.costUsd ?? costUsd(step, prices) };
  const normal = ofEachFigure((figure) => normalBand(before.flatMap((line) => line[figure] ?? [])));
  const outliers: StepCost['outliers'] = {};
  for (const figure of FIGURES) {
    const [value, band] = [figures[figure], normal[figure]];
    if (value === null || band === null) continue;
    if (value < band.low) outliers[figure] = 'low';
    if (value > band.high) outliers[figure] = 'high';
  }
  return { partition, step: id, status, startedAt, runId, ...figures, normal, outliers };
}

function costTotal(lines: readonly StepCost[]): CostTotal {
  return {
    total: ofEachFigure((figure) => lines.map((line) => line[figure]).reduce(addKnown, null)),
    unknown: ofEachFigure((figure) => lines.filter((line) => line[figure] === null).length),
  };
}

function ofEachFigure<T>(value: (figure: Figure) => T): Record<Figure, T> {
  return { bytesBilled: value('bytesBilled'), slotMs: value('slotMs'), costUsd: value('costUsd') };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
