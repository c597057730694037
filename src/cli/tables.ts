import Table from 'cli-table3';
import type { Estimate, PlanEstimate } from '../client/estimate.js';
import type { PartitionView, PipelineStatus } from '../client/status.js';
import { bytesText, dollarsText } from '../contracts/amounts.js';
import type { Plan } from '../contracts/backfill.js';
import type { DecisionRecord } from '../contracts/decision.js';
import type { Failure } from '../contracts/failure.js';
import type { Proposal } from '../contracts/fix.js';
import { rehearsalText } from './rehearsal-text.js';

const MOST_UNKNOWN = 8;
const PLAIN = { chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' }, style: { head: [], border: [] } };

/** A table in plain lines. */
export function table(head: string[], rows: string[][]): string {
  const made = new Table({ head, ...PLAIN });
  made.push(...rows);
  return made.toString();
}

/** What a backfill would do, a line per partition. */
export function planTable({ partitions }: Plan, estimate: PlanEstimate): string {
  return table(
    ['partition', 'action', 'reason', 'at least'],
    partitions.map(({ partition, action, reason }) => [
      partition,
      action,
      reason,
      estimateText(estimate.partitions.get(partition)),
    ]),
  );
}

/** What all of it would cost, whether the budget is enough, and what is not known. */
export function estimateLines({ total, partitions }: PlanEstimate, { budgetUsd = null }: Plan): string[] {
  if (partitions.size === 0) return [];
  const known = estimateText(total);
  const lines = [known === '' ? 'What that costs is not known beforehand.' : `It would read at least ${known}.`];
  if (budgetUsd !== null && (total.costUsd ?? 0) >= budgetUsd) {
    lines.push(`That is more than budget_usd of ${dollarsText(budgetUsd)}: the backfill would pause on the way.`);
  }
  const more = total.unknown.length - MOST_UNKNOWN;
  lines.push(...total.unknown.slice(0, MOST_UNKNOWN).map((why) => `  not in it: ${sentence(why, 200)}`));
  if (more > 0) lines.push(`  and ${more} more; --json has them all`);
  return lines;
}

function estimateText(
  { bytes, costUsd }: Pick<Estimate, 'bytes' | 'costUsd'> = { bytes: null, costUsd: null },
): string {
  if (bytes === null) return '';
  return costUsd === null ? bytesText(bytes) : `${bytesText(bytes)}, ${dollarsText(costUsd)}`;
}

/** A line per partition. */
export function statusTable({ partitions }: Pick<PipelineStatus, 'partitions'>): string {
  return table(
    ['partition', 'status', 'step', 'failure'],
    partitions.map(({ partition, status, step, failure }) => [
      partition,
      status,
      step ?? '',
      sentence(failure?.message),
    ]),
  );
}

/** `3 succeeded, 2 fixed` */
export function countsLine(counts: Record<string, number | undefined>, none = 'nothing yet'): string {
  const parts = Object.entries(counts).filter(([, count]) => (count ?? 0) > 0);
  return parts.length === 0 ? none : parts.map(([status, count]) => `${count} ${status}`).join(', ');
}

/** The steps of one partition, and how to answer when it waits. */
export function partitionText(view: PartitionView): string {
  const steps = table(
    ['step', 'status', 'attempts', 'remedies', 'seconds', 'billed', 'cost', 'log'],
    view.steps.map((step) => [
      step.id,
      step.status,
      String(step.attempts),
      step.remedies.join(', '),
      (step.durationMs / 1000).toFixed(1),
      step.bytesBilled === null ? '' : bytesText(step.bytesBilled),
      step.costUsd === null ? '' : dollarsText(step.costUsd),
      step.log ?? '',
    ]),
  );
  const lines = [`${view.pipeline} ${view.partition}: ${view.status}`, steps];
  const healed = view.steps.flatMap((step) => (step.failure !== null && step.status === 'fixed' ? [step.failure] : []));
  for (const failure of healed) lines.push(`healed: ${failure.step}: ${sentence(failure.message, 300)}`);
  for (const { id, warnings } of view.steps)
    lines.push(...warnings.map((warning) => `limit crossed at ${id}: ${warning}`));
  for (const decision of view.decisions) lines.push(decisionLine(decision));
  const { failure } = view;
  if (failure === null) return lines.join('\n');
  lines.push(
    '',
    `failure ${failure.id} (${failure.kind}, fingerprint ${failure.fingerprint}) at ${failure.step}:`,
    failure.message,
  );
  if (failure.tail !== '') lines.push('', failure.tail);
  if (view.status === 'waiting') lines.push(...waitingLines(view, failure));
  return lines.join('\n');
}

/** `decided: approve of crm by ann, 2025-07-19T03:10:00: why` */
function decisionLine({ action, step, decidedBy, decidedAt, way, note }: DecisionRecord): string {
  const who = way === 'person' || way === 'mcp' ? (decidedBy ?? 'someone') : way;
  return `decided: ${action} of ${step} by ${who}, ${decidedAt.slice(0, 19)}${note === null ? '' : `: ${note}`}`;
}

function waitingLines(view: PartitionView, failure: Failure): string[] {
  const call = `dayfill resolve ${view.pipeline} ${view.partition}`;
  const answers = ['retry', 'fix fixes/<file>.sql', 'skip-step', 'skip', 'abort'];
  if (view.proposal !== null) answers.unshift(`approve ${view.proposal.sha256}`, 'reject');
  return [
    ...(view.proposal === null ? [] : ['', proposalText(view.proposal)]),
    ...(view.advising ? ['', 'An adviser is looking at it: show it again in a moment.'] : []),
    '',
    'Answer with one of:',
    // Named, so that a line that is pasted late does not answer the next failure.
    ...answers.map((words) => `  ${call} ${words} --failure ${failure.id}`),
    `  dayfill resolve ${view.pipeline} --all-like ${failure.fingerprint}   # once another day was healed of it`,
    ...(view.decidesAt === null
      ? []
      : ['', `Without an answer decide_within of its pipeline.yaml decides at ${view.decidesAt}.`]),
  ];
}

function proposalText({ sql, sha256, explanation, confidence, proposedBy, rehearsal }: Proposal): string {
  return [
    `proposal ${sha256}`,
    `by ${proposedBy}, confidence ${confidence}: ${explanation}`,
    '',
    sql.trimEnd(),
    '',
    rehearsalText(rehearsal),
  ].join('\n');
}

/** A message as one short line. */
export function sentence(message = '', length = 100): string {
  const line = message.replace(/\s+/g, ' ').trim();
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}
