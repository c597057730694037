import { z } from 'zod';
import { BYTE_UNITS } from '../contracts/amounts.js';

const DURATION_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** Timers of Node count milliseconds in 31 bits: a little under 25 days. */
const MAX_DURATION_MS = 20 * DURATION_UNITS.d;

/** Milliseconds of a duration such as `30s` or `2h`; null when it is not one, is zero, or exceeds 20 days. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  if (match === null) return null;
  const ms = Number(match[1]) * DURATION_UNITS[match[2] as keyof typeof DURATION_UNITS];
  return ms > 0 && ms <= MAX_DURATION_MS ? ms : null;
}

export const duration = z
  .string()
  .regex(/^\d{1,9}(ms|s|m|h|d)$/, 'expected a duration such as 30s, 10m or 2h')
  .refine((text) => parseDuration(text) !== null, 'expected a duration of more than zero and at most 20d');

/** Bytes of an amount such as `10GiB`. */
export function parseBytes(text: string): number {
  const [, amount, unit] = /^(\d{1,6})(B|KiB|MiB|GiB|TiB)$/.exec(text) ?? [];
  return Number(amount) * 1024 ** BYTE_UNITS[unit as keyof typeof BYTE_UNITS];
}

export const bytes = z
  .string()
  .regex(/^[1-9]\d{0,5}(B|KiB|MiB|GiB|TiB)$/, 'expected an amount of data such as 500MiB or 10GiB');

/** Whether a text is an ISO date that exists, e.g. not 2025-02-30. */
export function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().slice(0, 10) === text;
}

export const date = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}$/, 'expected a date such as 2025-07-16')
  .refine(isDate, { error: (issue) => `${String(issue.input)} is not a date that exists` });

/** Anything that may stand in a path, a workflow id or a label. */
export const identifier = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,62}$/, 'expected lower-case letters, digits, "-" and "_", beginning with a letter');
