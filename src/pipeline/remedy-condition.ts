import { normalisedMessage, type StepFailure } from '../contracts/failure.js';
import { MAX_PATTERN } from './regex.js';

/** `when` of a remedy, as the file has it. */
export type WrittenCondition = { test: string } | { kind: string; error: string; exit_code?: number };

/**
 * What tells a failure like this one from others: its test; without one, its kind and message without the particulars.
 * Of several tests that one fix healed, the whole message, which names them all: a test more is another failure.
 * @returns null when the message is too long, or does not name all the tests.
 */
export function conditionOf({ kind, tests, message, exitCode }: StepFailure): WrittenCondition | null {
  const [test, ...others] = tests;
  if (test !== undefined && others.length === 0) return { test };
  const { pattern, whole } = messagePattern(message, tests);
  if (!whole && tests.length > 0) return null;
  if (tests.some((name) => !pattern.includes(escaped(name)))) return null;
  return { kind, error: pattern, ...(kind === 'exit_code' && exitCode !== null ? { exit_code: exitCode } : {}) };
}

/** A name for the remedy of a failure that none of `taken` has: its test or its kind. */
export function remedyIdFor({ kind, tests }: StepFailure, taken: readonly string[]): string {
  const [test = kind.replaceAll('_', '-'), ...others] = tests;
  const words = (others.length === 0 ? test : 'test-failures').toLowerCase().replace(/[^a-z0-9_-]+/g, '-');
  const id = words.replace(/^[^a-z]+/, '').slice(0, 58) || 'remedy';
  for (let n = 1; ; n++) {
    const numbered = n === 1 ? id : `${id}-${n}`;
    if (!taken.includes(numbered)) return numbered;
  }
}

/** Stands for white space that is more than one blank, and those after it for the names of tests, which are no particulars. */
const GAP = '\ue000';

const PARTICULARS: Record<string, string> = {
  '<id>': '[\\da-fA-F-]+',
  '<date>': '[\\d-]+',
  '<value>': '["\'`][\\s\\S]*?["\'`]',
  '<n>': '[\\d.]+',
  [GAP]: '\\s+',
};

/** A regular expression of at most `MAX_PATTERN` characters for messages like this one. */
function messagePattern(message: string, names: string[]): { pattern: string; whole: boolean } {
  const marks = new Map(names.map((name, index) => [String.fromCharCode(GAP.charCodeAt(0) + 1 + index), name]));
  const longestFirst = [...marks].sort(([, a], [, b]) => b.length - a.length);
  const marked = longestFirst.reduce((text, [mark, name]) => text.replaceAll(name, mark), message);
  const normalised = normalisedMessage(marked.replace(/\s{2,}|[^\S ]/g, GAP));
  let pattern = '^';
  for (const [part] of normalised.matchAll(/<(?:id|date|value|n)>|./gsu)) {
    const next = PARTICULARS[part] ?? escaped(marks.get(part) ?? part);
    if (pattern.length + next.length >= MAX_PATTERN) return { pattern, whole: false };
    pattern += next;
  }
  return { pattern: `${pattern}$`, whole: true };
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
