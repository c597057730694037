import { dollarsText, outOfBudget } from '../contracts/amounts.js';
import type { Progress } from '../contracts/backfill.js';
import type { Failure } from '../contracts/failure.js';
import type { Proposal } from '../contracts/fix.js';
import type { PartitionState } from '../contracts/partition.js';

/** The Web UI shows current details of a few KB at most. */
const PROPOSAL_SHOWN = 1500;

/** What the Web UI shows of a partition: on a waiting one the failure and the exact answers to paste. Markdown, 1 to 3 KB. */
export function partitionDetails(state: PartitionState): string {
  const steps = state.steps.map((step) => {
    const remedies =
      step.remedies.length === 0 ? '' : `, healed by ${step.remedies.map((id) => `\`${id}\``).join(', ')}`;
    const warnings = step.warnings.map((warning) => `\n  - limit crossed: ${warning}`);
    return `- **${step.id}**: ${step.status}${remedies}${warnings.join('')}`;
  });
  const lines = [`**${state.partition}** is **${state.status}**`, '', ...steps];
  for (const { action, step, decidedBy, way, note } of state.decisions) {
    const who = way === 'person' || way === 'mcp' ? (decidedBy ?? 'someone') : way;
    lines.push(`- ${action} of **${step}** by ${who}${note === null ? '' : `: ${note.slice(0, 200)}`}`);
  }
  const { failure } = state;
  if (failure !== null) lines.push(...question(state, failure));
  return lines.join('\n');
}

function question({ partition, proposal, advising, decidesAt }: PartitionState, failure: Failure): string[] {
  const answers: Record<string, string>[] = ['retry', 'skipStep', 'skip', 'abort'].map((action) => ({ action }));
  answers.push({ action: 'fix', file: 'fixes/<file>.sql' });
  if (proposal !== null) answers.unshift({ action: 'approve', proposal: proposal.sha256 }, { action: 'reject' });
  return [
    '',
    `Step \`${failure.step}\` failed (${failure.kind}, fingerprint \`${failure.fingerprint}\`):`,
    '```',
    [failure.message.slice(0, 600), failure.tail.slice(-900)].filter((text) => text !== '').join('\n'),
    '```',
    ...(proposal === null ? [] : proposed(proposal)),
    ...(advising ? ['An adviser is looking at it.'] : []),
    'Answer with the update or signal `resolve`, one of:',
    '```',
    ...answers.map((answer) => JSON.stringify({ ...answer, failure: failure.id })),
    '```',
    ...(decidesAt === null ? [] : [`Without an answer ${partition} is decided on at ${decidesAt}.`]),
    ...(failure.log === null ? [] : [`The whole log: \`${failure.log}\``]),
  ];
}

function proposed({ sql, explanation, proposedBy, rehearsal }: Proposal): string[] {
  const { rows, testPasses } = rehearsal;
  const tests =
    testPasses === null
      ? 'not known whether the test passes then'
      : `the test ${testPasses ? 'passes' : 'still fails'} then`;
  return [
    `Proposed by ${proposedBy}: ${explanation} Changes ${rows ?? 'an unknown number of'} rows; ${tests}.`,
    '```sql',
    sql.length <= PROPOSAL_SHOWN
      ? sql
      : `${sql.slice(0, PROPOSAL_SHOWN)}\n-- … ${sql.length - PROPOSAL_SHOWN} more characters: see the query state`,
    '```',
  ];
}

/** How much of a budget is spent. */
export function budgetSentence(progress: Pick<Progress, 'pending' | 'spentUsd' | 'budgetUsd'>): string {
  const { spentUsd, budgetUsd } = progress;
  const spent = dollarsText(spentUsd ?? 0);
  if (budgetUsd === null) return `${spent} spent.`;
  const out = outOfBudget(progress) ? ': the budget has run out, and no further partition starts' : '';
  return `${spent} of ${dollarsText(budgetUsd)} spent${out}.`;
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
  const { spentUsd, budgetUsd } = progress;
  if (spentUsd !== null || budgetUsd !== null) lines.push('', budgetSentence(progress));
  if (outOfBudget(progress)) {
    const answer = JSON.stringify({ budgetUsd: 2 * budgetUsd! });
    lines.push(
      '',
      'Go on with the signal `resume`: it allows as much again, or the budget that it names:',
      '```',
      answer,
      '```',
    );
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
