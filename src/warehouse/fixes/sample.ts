import type { RowChange } from '../../contracts/fix.js';
import type { Json } from '../../contracts/step.js';

type Row = Record<string, Json>;

/** How personal data is taken out of rows. */
export interface RowMask {
  /** Takes it out of any text. */
  mask(text: string): string;
  /** The word in the name of a column that says that it holds such data; null when none does. */
  personalWord(name: string): string | null;
}

/**
 * Rows that went and rows that came, as changes: a row that came and shares most of its values with one that went is the
 * same row with other values.
 */
export function pairedChanges(table: string, removed: Row[], added: Row[]): RowChange[] {
  const left = [...added];
  const changes = removed.map((before): RowChange => {
    const [best] = left
      .map((row, index) => ({ index, alike: likeness(before, row) }))
      .sort((a, b) => b.alike - a.alike);
    if (best === undefined || best.alike <= 0.5) return { table, before, after: null };
    return { table, before, after: left.splice(best.index, 1)[0]! };
  });
  return [...changes, ...left.map((after): RowChange => ({ table, before: null, after }))];
}

/**
 * Changes without personal data: what a column's name tells of is masked, and a column is masked whole when one of its
 * values looks like it.
 */
export function maskedChanges(changes: RowChange[], rowMask: RowMask): RowChange[] {
  const { mask, personalWord } = rowMask;
  const hidden = new Set<string>();
  for (const { table, before, after } of changes) {
    for (const [name, value] of [before, after].flatMap((row) => Object.entries(row ?? {}))) {
      if (typeof value === 'string' && mask(value) !== value) hidden.add(`${table}.${name}`);
    }
  }
  return changes.map(({ table, before, after }) => {
    const masked = (row: Row | null) =>
      row &&
      maskedRow(row, rowMask, (name) => personalWord(name) ?? (hidden.has(`${table}.${name}`) ? 'masked' : null));
    return { table, before: masked(before), after: masked(after) };
  });
}

function maskedRow(row: Row, rowMask: RowMask, wordOf: RowMask['personalWord']): Row {
  const entries = Object.entries(row).map(([name, value]): [string, Json] => {
    const word = wordOf(name);
    return [name, word === null || value === null ? maskedValue(value, rowMask) : `<${word}>`];
  });
  return Object.fromEntries(entries);
}

function maskedValue(value: Json, rowMask: RowMask): Json {
  if (typeof value === 'string') return rowMask.mask(value);
  if (Array.isArray(value)) return value.map((item) => maskedValue(item, rowMask));
  return value === null || typeof value !== 'object' ? value : maskedRow(value, rowMask, rowMask.personalWord);
}

/** Share of the columns with the same value in both. */
function likeness(a: Row, b: Row): number {
  const names = Object.keys(a);
  const same = names.filter((name) => JSON.stringify(a[name]) === JSON.stringify(b[name]));
  return same.length / names.length;
}
