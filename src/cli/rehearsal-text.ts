import type { Rehearsal, RowChange } from '../contracts/fix.js';

/** What a fix would do, for people: its verdict, the rows it would change before and after, and what the failing tests say then. */
export function rehearsalText({ allowed, reason, statements, rows, sample, testPasses }: Rehearsal): string {
  if (!allowed) return `Not allowed: ${reason}`;
  const tests =
    testPasses === null
      ? 'no failing test could be tried on it'
      : testPasses
        ? 'the failing tests pass then'
        : 'the failing tests STILL FAIL then';
  return [
    `Rehearsed on copies: ${rows ?? 'an unknown number of'} ${rows === 1 ? 'row' : 'rows'} would change; ${tests}.`,
    ...statements.map(({ kind, table, line }) => `  line ${line}: ${kind} ${table}`),
    ...(sample.length === 0 ? [] : ['', `${sample.length} of the rows, personal data masked:`]),
    ...sample.flatMap(changeLines),
  ].join('\n');
}

/** A row that stays shows only what changes in it. */
function changeLines({ table, before, after }: RowChange): string[] {
  if (before === null || after === null) {
    return [`  ${before === null ? '+' : '-'} ${table} ${JSON.stringify(before ?? after)}`];
  }
  const changed = Object.keys(after).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  const part = (row: RowChange['after']) =>
    JSON.stringify(Object.fromEntries(changed.map((name) => [name, row![name]!])));
  return [`  ~ ${table} ${part(before)} -> ${part(after)}`];
}
