import type { Notice, NoticePartition, StepRevisions } from '../contracts/notice.js';
import { maskPersonal } from '../runners/mask.js';
import { firstBytes } from '../runners/text.js';

const MESSAGE_BYTES = 1000;
const SQL_BYTES = 2400;
const MOST_TESTS = 10;

/** A notice as it may leave the house: personal data and secrets masked, texts of sensible length, no hidden characters. */
export function presentable(notice: Notice): Notice {
  const { partitions, backfill, digest, revised } = notice;
  return {
    ...notice,
    partitions: partitions.map(presentablePartition),
    backfill: backfill && { ...backfill, message: shown(backfill.message) },
    ...(digest && { digest: { ...digest, problem: digest.problem && shown(digest.problem) } }),
    ...(revised !== undefined && { revised: revised.map(presentableRevisions) }),
  };
}

/** Figures are decimal text of dayfill's own; their names are columns of a query. */
function presentableRevisions({ days, ...rest }: StepRevisions): StepRevisions {
  const named = days.map(({ day, figures }) => ({
    day,
    figures: figures.map((figure) => ({ ...figure, name: shown(figure.name, 100) })),
  }));
  return { ...rest, days: named };
}

function presentablePartition(one: NoticePartition): NoticePartition {
  const { failure, proposal, healedBy, warning } = one;
  return {
    ...one,
    failure: failure && {
      ...failure,
      tests: failure.tests.slice(0, MOST_TESTS).map((test) => shown(test, 200)),
      message: shown(failure.message),
    },
    proposal: proposal && {
      ...proposal,
      explanation: shown(proposal.explanation),
      sql: shown(proposal.sql, SQL_BYTES),
    },
    ...(healedBy != null && { healedBy: shown(healedBy, 200) }),
    ...(warning != null && { warning: shown(warning) }),
  };
}

/** What cannot be seen could turn the text around for who reads it, or end a line where none ends. */
function shown(text: string, bytes = MESSAGE_BYTES): string {
  return firstBytes(
    maskPersonal(text)
      .replaceAll('\r\n', '\n')
      .replace(/[^\P{C}\n\t]|[\u2028\u2029]/gu, '\ufffd'),
    bytes,
  );
}
