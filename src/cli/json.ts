import type { PlanEstimate } from '../client/estimate.js';
import type { PartitionView, PipelineStatus } from '../client/status.js';
import type { Plan } from '../contracts/backfill.js';
import type { Failure } from '../contracts/failure.js';

/** What `--json` prints of a failure. */
function failureJson(failure: Failure | null) {
  if (failure === null) return null;
  const { id, fingerprint, kind, tests, message, log } = failure;
  return { id, fingerprint, kind, tests, message, log };
}

/** `status <pipeline> --json` and `run --json`. */
export function statusJson({
  pipeline,
  state,
  total,
  counts,
  current,
  spentUsd,
  budgetUsd,
  partitions,
}: Omit<PipelineStatus, 'workerAnswers'>) {
  const lines = partitions.map((line) => ({ ...line, failure: failureJson(line.failure) }));
  return { pipeline, state, total, counts, current, spentUsd, budgetUsd, partitions: lines };
}

/** `run --plan --json`: what is known of the cost is a lower bound. */
export function planJson({ pipeline, partitions }: Plan, estimate: PlanEstimate) {
  const lines = partitions.map((line) => ({ ...line, estimate: estimate.partitions.get(line.partition) ?? null }));
  return { pipeline, partitions: lines, estimate: estimate.total };
}

/** `show --json`. */
export function partitionJson(view: PartitionView) {
  const { pipeline, partition, status, proposal, decisions, advising, decidesAt } = view;
  const steps = view.steps.map(({ failure, ...step }) => {
    const { id, status, attempts, remedies, durationMs, bytesBilled, slotMs, costUsd, warnings, log } = step;
    const cost = { bytesBilled, slotMs, costUsd, warnings };
    return { id, status, attempts, remedies, durationMs, ...cost, failure: failureJson(failure), log };
  });
  const shown = proposal && { ...proposal, rows: proposal.rehearsal.rows };
  return { pipeline, partition, status, steps, proposal: shown, advising, decidesAt, decisions };
}
