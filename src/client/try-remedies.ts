import type { Failure } from '../contracts/failure.js';
import type { LedgerRow } from '../contracts/ledger.js';
import { matchRemedies } from '../pipeline/match.js';
import type { Ledger } from '../warehouse/ledger.js';
import { type PipelineFiles, plainName } from './pipelines.js';

/** What each remedy of a pipeline would have done for the failures in the ledger. */
export interface RemedyTest {
  pipeline: string;
  remedies: { step: string; remedy: string; matched: PastFailure[] }[];
  /** Failures that no remedies cover, those alike together. */
  unmatched: { fingerprint: string; step: string; tests: string[]; message: string; partitions: string[] }[];
}

export interface PastFailure {
  partition: string;
  /** Id of the failure. */
  failure: string;
  fingerprint: string;
  tests: string[];
  message: string;
}

/** Which failures in the ledger each remedy covers, alone or together with others, and which none do. */
export async function testRemedies(files: PipelineFiles, ledger: Ledger, pipeline: string): Promise<RemedyTest> {
  const definition = files.pipeline(plainName(pipeline));
  const failures = failuresIn(await ledger.rows(pipeline));
  const remedies = definition.steps.flatMap((step) =>
    step.remedies.map((remedy) => {
      const alone = { ...definition, steps: [{ ...step, remedies: [remedy] }] };
      const covers = ({ failure }: PlacedFailure) =>
        [alone, definition].some((some) => matchRemedies(some, failure.step, failure, {})?.includes(remedy));
      return { step: step.id, remedy: remedy.id, matched: failures.filter(covers).map(pastFailure) };
    }),
  );
  const alike = new Map<string, RemedyTest['unmatched'][number]>();
  for (const { partition, failure } of failures) {
    if (matchRemedies(definition, failure.step, failure, {}) !== null) continue;
    const { fingerprint, step, tests, message } = failure;
    const group = alike.get(fingerprint) ?? { fingerprint, step, tests, message, partitions: [] };
    alike.set(fingerprint, group);
    if (!group.partitions.includes(partition)) group.partitions.push(partition);
  }
  return { pipeline, remedies, unmatched: [...alike.values()] };
}

interface PlacedFailure {
  partition: string;
  failure: Failure;
}

/** Every failure once, though each row of a run repeats it. */
function failuresIn(rows: LedgerRow[]): PlacedFailure[] {
  const found = new Map<string, PlacedFailure>();
  for (const { partition, runId, steps } of rows) {
    for (const { failure } of steps) {
      if (failure !== null) found.set(`${runId}/${failure.id}`, { partition, failure });
    }
  }
  return [...found.values()];
}

function pastFailure({ partition, failure: { id, fingerprint, tests, message } }: PlacedFailure): PastFailure {
  return { partition, failure: id, fingerprint, tests, message };
}
