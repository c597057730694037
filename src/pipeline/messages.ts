import type { z } from 'zod';
import { STEP_KINDS } from '../contracts/step.js';

/** Something wrong at a place of the document; `onKey` when the name itself is wrong, not its value. */
export interface DocumentProblem {
  path: (string | number)[];
  message: string;
  onKey?: boolean;
}

/** zod's error map for pipeline files: says what was expected and, for names, which known one is near. */
export function sentenceFor(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined
        ? `is missing; expected ${typeWord(issue.expected)}`
        : `expected ${typeWord(issue.expected)}, found ${found(issue.input)}`;
    case 'unrecognized_keys':
      // One line per name: problemsOf gives each its own place.
      return issue.keys.map((key) => unknownName('key', key, knownKeys(issue.inst))).join('\n');
    case 'invalid_value':
      return issue.input === undefined
        ? `is missing; expected ${oneOf(issue.values.map(String))}`
        : unknownName('value', issue.input, issue.values.map(String));
    case 'invalid_union': {
      if (issue.discriminator === undefined) return issue.input === undefined ? 'is missing; ' : '';
      if (issue.discriminator === 'mode')
        return unknownName('mode', (issue.input as { mode: unknown }).mode, ['process', 'graphql']);
      const uses = (issue.input as { uses?: unknown } | null)?.uses;
      return uses === undefined
        ? `is missing; expected ${oneOf(STEP_KINDS)}`
        : unknownName('step kind', uses, STEP_KINDS);
    }
    case 'too_small':
      if (issue.origin === 'array') return `expected at least ${issue.minimum} of them`;
      return issue.origin === 'string' ? 'expected some text' : `expected at least ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'string'
        ? `expected at most ${issue.maximum} characters`
        : `expected at most ${issue.maximum}`;
    default:
      return undefined;
  }
}

/** The problems behind an issue, each with its place. */
export function problemsOf(issue: z.core.$ZodIssue, at: readonly PropertyKey[] = []): DocumentProblem[] {
  const path = [...at, ...issue.path].map((part) => (typeof part === 'number' ? part : String(part)));
  if (issue.code === 'unrecognized_keys') {
    const lines = issue.message.split('\n');
    return issue.keys.map((key, index) => ({ path: [...path, key], message: lines[index]!, onKey: true }));
  }
  if (issue.code === 'invalid_key') {
    return [{ path, message: issue.issues[0]?.message ?? issue.message, onKey: true }];
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) return unionProblems(issue, path);
  return [{ path, message: issue.message }];
}

/** Of a value that fits no variant: what keeps it from the one whose type it has, or else all the types there are. */
function unionProblems(issue: z.core.$ZodIssueInvalidUnion, path: (string | number)[]): DocumentProblem[] {
  const nearest = issue.errors.find((issues) => issues.every((inner) => inner.path.length > 0 || !isTypeIssue(inner)));
  if (nearest !== undefined) return nearest.flatMap((inner) => problemsOf(inner, path));
  const types = issue.errors.flatMap((issues) => issues.flatMap(expectedTypes));
  return [{ path, message: `${issue.message}expected ${oneOf([...new Set(types)])}` }];
}

function isTypeIssue(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type' || issue.code === 'invalid_union';
}

/** Leaves out what only follows from a misspelt name: that the right one is missing, or that the group says nothing. */
export function withoutEchoes(problems: DocumentProblem[]): DocumentProblem[] {
  const inside = (outer: DocumentProblem['path'], inner: DocumentProblem['path']) =>
    inner.length === outer.length + 1 && outer.every((part, index) => part === inner[index]);
  return problems.filter(
    ({ path, onKey }) =>
      onKey === true ||
      !problems.some(
        (other) =>
          other.onKey === true &&
          (inside(path, other.path) ||
            (inside(path.slice(0, -1), other.path) && other.message.endsWith(didYouMean(String(path.at(-1)))))),
      ),
  );
}

function expectedTypes(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'invalid_type') return [typeWord(issue.expected)];
  return issue.code === 'invalid_union' ? issue.errors.flatMap((issues) => issues.flatMap(expectedTypes)) : [];
}

/** `unknown <what> "x"`, with the nearest known name or else all of them. */
export function unknownName(what: string, name: unknown, known: readonly string[]): string {
  const near = typeof name === 'string' ? nearestName(name, known) : undefined;
  const hint = near === undefined ? '' : didYouMean(near);
  const expected = near === undefined || what !== 'key' ? `; expected ${oneOf(known)}` : '';
  return `unknown ${what} ${JSON.stringify(name)}${hint === '' ? expected : expected + hint}`;
}

function didYouMean(name: string): string {
  return `; did you mean ${JSON.stringify(name)}?`;
}

function nearestName(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  if (best === undefined) return undefined;
  const { length } = best.candidate;
  return best.distance <= (length < 4 ? 1 : Math.max(2, Math.floor(length / 3))) ? best.candidate : undefined;
}

/** Levenshtein: how many characters to add, drop or change. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, charA] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, charB] of [...b].entries()) {
      next.push(Math.min(row[j]! + (charA === charB ? 0 : 1), row[j + 1]! + 1, next[j]! + 1));
    }
    row = next;
  }
  return row.at(-1)!;
}

function knownKeys(schema: unknown): string[] {
  const shape = (schema as { _zod?: { def?: { shape?: object } } } | undefined)?._zod?.def?.shape;
  return Object.keys(shape ?? {});
}

const TYPE_WORDS: Record<string, string> = {
  string: 'text',
  boolean: 'true or false',
  object: 'a group of keys',
  record: 'a group of keys',
  array: 'a list',
  number: 'a number',
  int: 'a whole number',
};

function typeWord(type: string): string {
  return TYPE_WORDS[type] ?? type;
}

function found(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a group of keys';
  return typeof value === 'string' ? `the text ${JSON.stringify(value)}` : String(value);
}

function oneOf(words: readonly string[]): string {
  return words.length === 1 ? words[0]! : `one of ${words.join(', ')}`;
}
