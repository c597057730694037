import { dollarsText } from '../contracts/amounts.js';
import type { Notice, NoticePartition, StepRevisions } from '../contracts/notice.js';
import { PARTITION_STATUSES } from '../contracts/status.js';

/** A message, before it takes the form of a channel; `code` stands as it is and can be copied. */
export interface NoticeText {
  /** One line. */
  title: string;
  body: Paragraph[];
}
export type Paragraph = { text: string } | { code: string };

/** Questions of one message: each is up to seven paragraphs, and Slack takes fifty. */
const MOST_QUESTIONS = 6;
const MOST_LINES = 20;
const MOST_KEYS = 20;

/** What a notice says: what happened, what is suggested, and the exact commands to answer. */
export function noticeText(notice: Notice): NoticeText {
  const { event, pipeline, partitions } = notice;
  if (event === 'finished') return finishedText(notice);
  if (event === 'limit') return limitText(notice);
  if (event === 'digest') return digestText(notice);
  if (event === 'revised') return revisedText(notice);
  if (event === 'fixed') {
    return {
      title: `${pipeline}: ${subject(partitions, 'is', 'are')} fixed`,
      body: together(groupsBy(partitions, cureOf), cureText),
    };
  }
  const still = event === 'reminder' ? 'still ' : '';
  const title = `${pipeline}: ${subject(partitions, `${still}waits`, `${still}wait`)} for a decision`;
  return { title, body: waitingText(pipeline, partitions) };
}

/** The body without any markup. */
export function plainBody({ body }: NoticeText): string {
  return body.map((part) => ('text' in part ? part.text : part.code.replace(/^/gm, '  '))).join('\n\n');
}

/** A red flag: a step was stopped, or goes on though it should not; or the budget of the backfill has run out. */
function limitText({ pipeline, partitions, backfill }: Notice): NoticeText {
  if (backfill !== null) {
    return {
      title: `${pipeline}: red flag: the budget has run out, the backfill pauses`,
      body: [
        { text: backfill.message },
        { text: 'To go on, with as much again or with another budget:' },
        { code: `dayfill resume ${pipeline}\ndayfill resume ${pipeline} --budget-usd <dollars>` },
      ],
    };
  }
  const [first] = partitions;
  if (first?.warning === undefined) {
    const title = `${pipeline}: red flag: ${subject(partitions, 'crossed', 'crossed')} a limit and waits for a decision`;
    return { title, body: waitingText(pipeline, partitions) };
  }
  return {
    title: `${pipeline}: red flag: ${first.partition} crossed a limit and goes on`,
    body: [{ text: `${first.partition} at ${first.step}: ${first.warning}` }],
  };
}

/** Days whose totals are no longer what was told before, with both figures. */
function revisedText({ pipeline, partitions, revised = [] }: Notice): NoticeText {
  const count = revised.reduce((sum, { days, more }) => sum + days.length + more, 0);
  const body = revised.flatMap(({ step, days, more }) => {
    const lines = days.map(({ day, figures }) => `${day}: ${figures.map(changeText).join(', ')}`);
    if (more > 0) lines.push(`And ${more} more.`);
    const parts = Array.from({ length: Math.ceil(lines.length / MOST_LINES) }, (_, part) =>
      lines.slice(part * MOST_LINES, (part + 1) * MOST_LINES),
    );
    return parts.map((part, index) => ({ text: [...(index === 0 ? [`Found by ${step}:`] : []), ...part].join('\n') }));
  });
  return {
    title: `${pipeline}: totals of ${count} day${count === 1 ? '' : 's'} revised by ${keys(partitions)}`,
    body,
  };
}

function changeText({ name, before, after }: StepRevisions['days'][number]['figures'][number]): string {
  return `${name} from ${before ?? 'none'} to ${after ?? 'none'}`;
}

/** One digest of a whole backfill. */
function finishedText({ pipeline, partitions, backfill }: Notice): NoticeText {
  const { state, message, total, counts, costUsd = null } = backfill!;
  const summary = countsText(counts).join(', ') || 'nothing ran';
  const of = (status: NoticePartition['status']) => partitions.filter((one) => one.status === status);
  const skipped = of('skipped');
  // One that parked days "succeeded" for Temporal, not for who reads this.
  const unwell = (['waiting', 'failed', 'skipped'] as const).some((status) => (counts[status] ?? 0) > 0);
  const cost = costUsd === null ? '' : ` Cost: ${dollarsText(costUsd)}.`;
  const ended = state === 'succeeded' && unwell ? 'ended' : state;
  return {
    title: `${pipeline}: backfill ${ended} (${summary})`,
    body: [
      {
        text: `${message === '' ? '' : `${message}\n`}Of ${total} partition${total === 1 ? '' : 's'}: ${summary}.${cost}`,
      },
      ...together(groupsBy(of('fixed'), cureOf), cureText),
      ...together(groupsBy(of('failed'), failureOf), (group) => `Failed: ${troubleText(group)}`),
      ...(skipped.length === 0 ? [] : [{ text: `Skipped: ${keys(skipped)}.` }]),
      ...waitingText(pipeline, of('waiting')),
    ],
  };
}

/** What the morning tells of a pipeline with catch-up. */
function digestText({ pipeline, partitions, digest }: Notice): NoticeText {
  const { since, counts, succeeded, behind, paused, missing, costUsd, problem } = digest!;
  const held = behind === null ? 0 : behind.partitions.length;
  const summary = [
    ...countsText(held === 0 ? counts : { ...counts, pending: (counts.pending ?? 0) - held }),
    ...(behind === null ? [] : [`${held} behind ${behind.partition}`]),
    ...(missing.length === 0 ? [] : [`${missing.length} missing`]),
  ].join(', ');
  const cost = costUsd === null ? '' : ` Cost: ${dollarsText(costUsd)}.`;
  const of = (status: NoticePartition['status']) => partitions.filter((one) => one.status === status);
  const line = (text: string, named: readonly string[]) =>
    named.length === 0 ? [] : [{ text: `${text}: ${keys(named.map((partition) => ({ partition })))}.` }];
  return {
    title: `${pipeline}: ${summary || 'catch-up failed'}`,
    body: [
      { text: `Since ${since.slice(0, 16).replace('T', ' ')} UTC: ${summary || 'nothing ended'}.${cost}` },
      ...(problem === null ? [] : [{ text: `What is missing could not be found out: ${problem}` }]),
      ...line('Succeeded', succeeded),
      ...together(groupsBy(of('fixed'), cureOf), cureText),
      ...together(groupsBy(of('failed'), failureOf), (group) => `Failed: ${troubleText(group)}`),
      ...line(
        'Skipped',
        of('skipped').map(({ partition }) => partition),
      ),
      ...(behind === null ? [] : line(`Behind ${behind.partition}`, behind.partitions)),
      ...(paused ? [{ text: 'The backfill is paused; it goes on with:' }, { code: `dayfill resume ${pipeline}` }] : []),
      ...line('Missing, in no backfill yet', missing),
      ...(missing.length === 0 ? [] : [{ code: `dayfill run ${pipeline} --missing` }]),
      ...waitingText(pipeline, of('waiting')),
    ],
  };
}

function countsText(counts: Partial<Record<NoticePartition['status'], number>>): string[] {
  const counted = PARTITION_STATUSES.filter((status) => (counts[status] ?? 0) > 0);
  return counted.map((status) => `${counts[status]} ${status}`);
}

/** One paragraph of them all. */
function together(groups: Group[], textOf: (group: Group) => string): Paragraph[] {
  if (groups.length === 0) return [];
  const more = groups.length - MOST_LINES;
  const lines = groups.slice(0, MOST_LINES).map(textOf);
  return [{ text: [...lines, ...(more > 0 ? [`And ${more} more.`] : [])].join('\n') }];
}

/** Partitions that wait, those with the same failure as one question. */
function waitingText(pipeline: string, partitions: readonly NoticePartition[]): Paragraph[] {
  const groups = groupsBy(partitions, failureOf);
  const shown = groups.slice(0, MOST_QUESTIONS);
  const more = groups.length - shown.length;
  return [
    ...shown.flatMap((group) => questionText(pipeline, group, groups.length === 1)),
    ...(more === 0 ? [] : [{ text: `And ${more} more failures:` }, { code: `dayfill status ${pipeline}` }]),
  ];
}

function questionText(pipeline: string, group: Group, withSql: boolean): Paragraph[] {
  const [first] = group;
  const { failure, proposal, decidesAt } = first;
  const paragraphs: Paragraph[] = [{ text: `Waiting: ${troubleText(group)}` }];
  if (proposal !== null) {
    paragraphs.push({ text: `Proposal: ${proposal.explanation}\n${rehearsed(proposal)}\nSHA-256: ${proposal.sha256}` });
    if (withSql) paragraphs.push({ code: proposal.sql });
  }
  if (decidesAt !== null) paragraphs.push({ text: `Without an answer it is decided by rule at ${decidesAt}.` });
  paragraphs.push({ text: `To answer ${first.partition}, one of:` }, { code: commands(pipeline, first).join('\n') });
  if (failure !== null) {
    paragraphs.push(
      { text: 'Once that has healed it, the same for all that wait alike, now or later:' },
      { code: `dayfill resolve ${pipeline} --all-like ${failure.fingerprint}` },
    );
  }
  return paragraphs;
}

/** The lines that answer a partition; each names the failure, so that an old message cannot answer a new one. */
function commands(pipeline: string, { partition, failure, proposal }: NoticePartition): string[] {
  const named = failure === null ? '' : ` --failure ${failure.id}`;
  const resolve = (words: string) => `dayfill resolve ${pipeline} ${partition} ${words}${named}`;
  const answer = {
    ...(proposal === null ? { action: 'retry' } : { action: 'approve', proposal: proposal.sha256 }),
    ...(failure !== null && { failure: failure.id }),
  };
  return [
    `dayfill show ${pipeline} ${partition}`,
    ...(proposal === null ? [] : [resolve(`approve ${proposal.sha256}`)]),
    ...['retry', 'skip-step', 'skip', 'abort'].map(resolve),
    `temporal workflow update execute -w ${pipeline}/${partition} --name resolve -i '${JSON.stringify(answer)}'`,
  ];
}

function rehearsed({ rows, testPasses }: NonNullable<NoticePartition['proposal']>): string {
  const changes =
    rows === null ? 'It could not be rehearsed' : `Rehearsed, it changes ${rows} row${rows === 1 ? '' : 's'}`;
  if (testPasses === null) return `${changes}; whether the failing test passes then is not known.`;
  return `${changes}; the failing test ${testPasses ? 'passes' : 'STILL FAILS'} on the result.`;
}

function troubleText(group: Group): string {
  const { step, failure } = group[0];
  const where = step === null ? '' : ` at ${step}`;
  if (failure === null) return `${keys(group)}${where}.`;
  const tests = failure.tests.length === 0 ? '' : ` (${failure.tests.join(', ')})`;
  return `${keys(group)}${where}: ${failure.kind}${tests}\n${failure.message}`;
}

function cureText(group: Group): string {
  const [{ failure, healedBy }] = group;
  const was = failure === null ? '' : `\nIt was: ${failure.tests.join(', ') || failure.message}`;
  return `Fixed${healedBy ? ` by ${healedBy}` : ''}: ${keys(group)}.${was}`;
}

const failureOf = ({ partition, failure }: NoticePartition) => failure?.fingerprint ?? partition;
const cureOf = ({ failure, healedBy }: NoticePartition) => `${healedBy ?? ''} ${failure?.fingerprint ?? ''}`;

type Group = [NoticePartition, ...NoticePartition[]];

function groupsBy(partitions: readonly NoticePartition[], keyOf: (partition: NoticePartition) => string): Group[] {
  const groups = new Map<string, Group>();
  for (const partition of partitions) {
    const group = groups.get(keyOf(partition));
    if (group === undefined) groups.set(keyOf(partition), [partition]);
    else group.push(partition);
  }
  return [...groups.values()];
}

function subject(partitions: readonly NoticePartition[], verbOfOne: string, verbOfMany: string): string {
  const { length } = partitions;
  return length === 1 ? `${partitions[0]!.partition} ${verbOfOne}` : `${length} partitions ${verbOfMany}`;
}

function keys(partitions: readonly Pick<NoticePartition, 'partition'>[]): string {
  const shown = partitions.slice(0, MOST_KEYS).map(({ partition }) => partition);
  const more = partitions.length - shown.length;
  return shown.join(', ') + (more === 0 ? '' : ` and ${more} more`);
}
