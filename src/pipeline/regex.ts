import { z } from 'zod';

/** Characters of a regular expression in a pipeline file. */
export const MAX_PATTERN = 300;

/**
 * Why a regular expression is refused; null when it is fine. Besides those that do not compile, it refuses the ones whose
 * time can grow exponentially: a repeated group that itself repeats or has alternatives, and back-references.
 */
export function regexProblem(pattern: string): string | null {
  if (pattern.length > MAX_PATTERN) return `a regular expression has at most ${MAX_PATTERN} characters`;
  try {
    new RegExp(pattern);
  } catch (error) {
    return `not a regular expression: ${(error as Error).message}`;
  }
  return isSlow(pattern)
    ? 'this regular expression could take forever; do not repeat a group that itself repeats or has alternatives, nor refer back to one'
    : null;
}

/** A walk over a pattern that compiles, keeping for each open group whether something in it varies. */
function isSlow(pattern: string): boolean {
  let hasBackReference = false;
  const bare = pattern
    .replace(/\\(.)/gs, (_, char: string) => {
      hasBackReference ||= /[1-9k]/.test(char);
      return 'x';
    })
    .replace(/\[[^\]]*\]/g, 'x');
  if (hasBackReference) return true;
  const varies: boolean[] = [false];
  for (let at = 0; at < bare.length; at++) {
    const rest = bare.slice(at);
    const repeat = /^(?:[*+?]|\{\d+(?:,\d*)?\})\??/.exec(rest)?.[0];
    if (rest.startsWith('(')) {
      varies.push(false);
      at += /^\((?:\?(?:[:=!]|<[=!]|<\w+>))?/.exec(rest)![0].length - 1;
    } else if (rest.startsWith(')')) {
      const inside = varies.pop()!;
      if (inside && /^\)(?:[*+]|\{)/.test(rest)) return true;
      if (inside) varies[varies.length - 1] = true;
    } else if (repeat !== undefined) {
      at += repeat.length - 1;
      if (!/^\{\d+\}/.test(repeat)) varies[varies.length - 1] = true;
    } else if (rest.startsWith('|')) {
      varies[varies.length - 1] = true;
    }
  }
  return false;
}

export const regex = z
  .string()
  .min(1)
  .superRefine((pattern, context) => {
    const problem = regexProblem(pattern);
    if (problem !== null) context.addIssue({ code: 'custom', message: problem });
  });
