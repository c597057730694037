import type { Progress } from '../contracts/backfill.js';
import type { PartitionState } from '../contracts/partition.js';

/** What the Web UI shows of a partition: on a waiting one the failure and the exact answers to paste. Markdown, 1 to 3 KB. */
export function partitionDetails(state: PartitionState): string {
  const steps = state.steps.map((step) => {
    const remedies =
      step.remedies.length === 0 ? '' : `, healed by ${step.remedies.map((id) => `\`${id}\``).join(', ')}`;
    return `- **${step.id}**: ${step.status}${remedies}`;
  });
  const lines = [`**${state.partition}** is **${state.status}**`, '', ...steps];
  const { failure } = state;
  if (failure !== null) {
    lines.push(
      '',
      `Step \`${failure.step}\` failed (${failure.kind}):`,
      '```',
      [failure.message.slice(0, 600), failure.tail.slice(-900)].filter((text) => text !== '').join('\n'),
      '```',
      'Answer with the update or signal `resolve`, one of:',
      '```',
      ...['retry', 'skipStep', 'skip', 'abort'].map((action) => JSON.stringify({ action, failure: failure.id })),
      '```',
    );
    if (failure.log !== null) lines.push(`The whole log: \`${failure.log}\``);
  }
  return lines.join('\n');
}

/** What the Web UI shows of a backfill: done of total, rate, when it will be done, and the days that need someone. */
export function backfillDetails(progress: Progress, status: string, now: Date): string {
  const ended = Object.values(progress.ended);
  const lines = [`**${ended.length} of ${progress.total}** partitions done; backfill **${status}**`];
  if (ended.length > 0) {
    const each = progress.endedMs / ended.length;
    const left = progress.total - ended.length;
    const end = new Date(now.getTime() + left * each).toISOString().slice(0, 16);
    lines.push('', `${(each / 1000).toFixed(1)} s each${left > 0 ? `, done about ${end}Z at this rate` : ''}`);
  }
  const waiting = Object.entries(progress.live).filter(([, report]) => report.status === 'waiting');
  if (waiting.length > 0) lines.push('', 'Waiting for someone:');
  for (const [partition, report] of waiting) {
    const id = encodeURIComponent(`${progress.pipeline}/${partition}`);
    lines.push(
      `- [${partition}](/namespaces/{namespace}/workflows/${id}) at \`${report.step}\`: ${report.failure?.message.slice(0, 120) ?? ''}`,
    );
  }
  return lines.join('\n');
}
