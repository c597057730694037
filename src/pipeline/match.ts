import type { StepFailure } from '../contracts/failure.js';
import { matchesGlob } from '../contracts/glob.js';
import type { PipelineDefinition, Remedy, RemedyCondition } from './definition.js';

/**
 * The remedies that together cover a failure, in the order of the file; null when there are none.
 * @param used how often each remedy of the step was applied in this partition.
 */
export function matchRemedies(
  definition: PipelineDefinition,
  stepId: string,
  failure: StepFailure,
  used: Record<string, number>,
): Remedy[] | null {
  const step = definition.steps.find((candidate) => candidate.id === stepId);
  const candidates = (step?.remedies ?? []).filter(
    (remedy) => (used[remedy.id] ?? 0) < remedy.attempts && matchesRest(remedy.when, failure),
  );
  const uncovered = new Set(failure.tests);
  const chosen: Remedy[] = [];
  for (const remedy of candidates) {
    const { test } = remedy.when;
    if (test === undefined) return [...chosen, remedy];
    const covered = [...uncovered].filter((name) => matchesGlob(test, name));
    if (covered.length === 0) continue;
    for (const name of covered) uncovered.delete(name);
    chosen.push(remedy);
    if (uncovered.size === 0) return chosen;
  }
  return null;
}

/** Whether everything but `test` fits the failure. */
function matchesRest(when: RemedyCondition, failure: StepFailure): boolean {
  return (
    (when.kind === undefined || when.kind === failure.kind) &&
    (when.exitCode === undefined || when.exitCode === failure.exitCode) &&
    (when.error === undefined || new RegExp(when.error).test(failure.message))
  );
}
