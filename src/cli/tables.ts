import Table from 'cli-table3';
import type { PartitionView, PipelineStatus } from '../client/status.js';
import type { Plan } from '../contracts/backfill.js';

const PLAIN = { chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' }, style: { head: [], border: [] } };

function table(head: string[], rows: string[][]): string {
  const made = new Table({ head, ...PLAIN });
  made.push(...rows);
  return made.toString();
}

/** What a backfill would do, a line per partition. */
export function planTable({ partitions }: Plan): string {
  return table(
    ['partition', 'action', 'reason'],
    partitions.map(({ partition, action, reason }) => [partition, action, reason]),
  );
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
export function countsLine(counts: Partial<Record<string, number>>): string {
  const parts = Object.entries(counts).filter(([, count]) => (count ?? 0) > 0);
  return parts.length === 0 ? 'nothing yet' : parts.map(([status, count]) => `${count} ${status}`).join(', ');
}

/** The steps of one partition, and how to answer when it waits. */
export function partitionText(view: PartitionView): string {
  const steps = table(
    ['step', 'status', 'attempts', 'remedies', 'seconds', 'log'],
    view.steps.map((step) => [
      step.id,
      step.status,
      String(step.attempts),
      step.remedies.join(', '),
      (step.durationMs / 1000).toFixed(1),
      step.log ?? '',
    ]),
  );
  const lines = [`${view.pipeline} ${view.partition}: ${view.status}`, steps];
  const healed = view.steps.flatMap((step) => (step.failure !== null && step.status === 'fixed' ? [step.failure] : []));
  for (const failure of healed) lines.push(`healed: ${failure.step}: ${sentence(failure.message, 300)}`);
  const { failure } = view;
  if (failure === null) return lines.join('\n');
  lines.push('', `failure ${failure.id} (${failure.kind}) at ${failure.step}:`, failure.message);
  if (failure.tail !== '') lines.push('', failure.tail);
  if (view.status === 'waiting') {
    const call = `dayfill resolve ${view.pipeline} ${view.partition}`;
    lines.push(
      '',
      'Answer with one of:',
      ...['retry', 'skip-step', 'skip', 'abort'].map((word) => `  ${call} ${word}`),
    );
  }
  return lines.join('\n');
}

/** A message as one short line. */
export function sentence(message = '', length = 100): string {
  const line = message.replace(/\s+/g, ' ').trim();
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}
