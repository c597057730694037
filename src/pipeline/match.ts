import type { StepFailure } from '../contracts/failure.js';
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

/** `*` stands for any characters, `?` for one. Linear in both, unlike the regular expression it could be turned into. */
function matchesGlob(glob: string, name: string): boolean {
  let [g, n, star, mark] = [0, 0, -1, 0];
  while (n < name.length) {
    if (glob[g] === '*') [star, mark, g] = [g, n, g + 1];
    else if (g < glob.length && (glob[g] === '?' || glob[g] === name[n])) [g, n] = [g + 1, n + 1];
    else if (star >= 0) [g, mark, n] = [star + 1, mark + 1, mark + 1];
    else return false;
  }
  return /^\**$/.test(glob.slice(g));
}
