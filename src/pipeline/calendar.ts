import type { PartitionBounds } from '../contracts/step.js';
import type { PipelineDefinition } from './definition.js';
import { PartitionError } from './errors.js';
import { isDate } from './scalars.js';

const DAY_MS = 86_400_000;
/** More than a person means to start at once; also the limit of `partitions` in an input. */
const MAX_PARTITIONS = 10_000;

type Calendared = Pick<PipelineDefinition, 'name' | 'calendar'>;

/**
 * Keys of the partitions from one ISO date to another, both inclusive, in the order of the calendar.
 * @throws PartitionError when a date does not exist, lies outside the calendar or cuts a chunk, or the range is empty or vast.
 */
export function partitionsOfRange(definition: Calendared, from: string, to: string): string[] {
  const first = checkedDay(from);
  const last = checkedDay(to);
  if (first > last) throw new PartitionError(`from ${from} is after to ${to}; swap them.`);
  const begin = partitionWith(definition, first);
  const finish = partitionWith(definition, last);
  if (begin.start !== from) throw cut(definition, from, 'from', begin);
  if (finish.end !== to) throw cut(definition, to, 'to', finish);
  const every = definition.calendar.everyDays;
  const count = Math.floor((last - first) / every) + 1;
  if (count > MAX_PARTITIONS) {
    throw new PartitionError(`${from} to ${to} is ${count} partitions; a backfill has at most ${MAX_PARTITIONS}.`);
  }
  return Array.from({ length: count }, (_, index) => partitionWith(definition, first + index * every).key);
}

/**
 * First and last day of a partition.
 * @throws PartitionError when the key is not on the pipeline's calendar.
 */
export function boundsOf(definition: Calendared, key: string): PartitionBounds {
  const [start, end, ...rest] = key.split('..');
  const days = [start!, ...(end === undefined ? [] : [end])];
  if (rest.length > 0 || days.some((day) => !/^\d{4}-\d{2}-\d{2}$/.test(day))) {
    throw new PartitionError(
      `${JSON.stringify(key)} is not a partition of ${definition.name}; ${example(definition)}.`,
    );
  }
  const [first] = days.map(checkedDay);
  const found = partitionWith(definition, first!);
  if (found.key !== key) {
    throw new PartitionError(`${key} is not a partition of ${definition.name}; did you mean ${found.key}?`);
  }
  return found;
}

/** First and last day of any key, whether or not the calendar has it. */
export function daysOfKey(key: string): { start: string; end: string } {
  const [start = '', end = start] = key.split('..');
  return { start, end };
}

/** Whether the calendar has a partition of that key. */
export function isOnCalendar(definition: Calendared, key: string): boolean {
  try {
    return boundsOf(definition, key).key === key;
  } catch (error) {
    if (error instanceof PartitionError) return false;
    throw error;
  }
}

/**
 * Key of the partition before; null for the first.
 * @throws PartitionError when the key is not on the pipeline's calendar.
 */
export function previousPartition(definition: Calendared, key: string): string | null {
  const { start } = boundsOf(definition, key);
  if (start === definition.calendar.start) return null;
  return partitionWith(definition, dayNumber(start) - 1).key;
}

/**
 * Keys of the partitions that were over before a day began, in the order of the calendar.
 * @param today ISO date; its own partition is not over yet.
 * @param range first and last day, inclusive. @default the whole calendar
 * @throws PartitionError when the range is none of the calendar.
 */
export function partitionsOver(
  definition: Calendared,
  today: string,
  { from = definition.calendar.start, to }: { from?: string | undefined; to?: string | undefined } = {},
): string[] {
  const last = lastDayOver(definition, today);
  const begun = partitionWith(definition, checkedDay(from));
  if (to === undefined && last < begun.end) {
    if (begun.start !== from) throw cut(definition, from, 'from', begun);
    return [];
  }
  return partitionsOfRange(definition, from, to ?? last).filter((key) => boundsOf(definition, key).end < today);
}

/** Keys of the partitions that were over before a day began and have a day among the last `days` before it. */
export function latestPartitionsOver(definition: Calendared, today: string, days: number): string[] {
  const { start } = definition.calendar;
  const last = dayNumber(lastDayOver(definition, today));
  const first = Math.max(dayNumber(start), dayNumber(today) - days);
  if (last < first) return [];
  return partitionsOver(definition, today, { from: partitionWith(definition, first).start });
}

/** Last day of the last partition that was over before a day began; the day before the calendar's first when none was. */
function lastDayOver({ calendar }: Calendared, today: string): string {
  if (calendar.end !== null && calendar.end < today) return calendar.end;
  const start = dayNumber(calendar.start);
  const whole = Math.max(0, Math.floor((dayNumber(today) - start) / calendar.everyDays));
  return isoDate(start + whole * calendar.everyDays - 1);
}

/** First and last day of partitions that are in the order of the calendar; null for none. */
export function spanOf(keys: readonly string[]): { start: string; end: string } | null {
  const [first, last] = [keys[0], keys.at(-1)];
  if (first === undefined || last === undefined) return null;
  return { start: first.split('..')[0]!, end: last.split('..').at(-1)! };
}

/** The ISO date before another. */
export function dayBefore(day: string): string {
  return isoDate(dayNumber(day) - 1);
}

/** Every day of a partition, as ISO dates. */
export function daysOf({ start, end }: Pick<PartitionBounds, 'start' | 'end'>): string[] {
  const first = dayNumber(start);
  return Array.from({ length: dayNumber(end) - first + 1 }, (_, index) => isoDate(first + index));
}

/** Key of the calendar's first partition. */
export function firstPartition(definition: Calendared): string {
  return partitionWith(definition, dayNumber(definition.calendar.start)).key;
}

/** The partition that a day falls into. */
function partitionWith(definition: Calendared, day: number): PartitionBounds {
  const { calendar, name } = definition;
  const anchor = dayNumber(calendar.start);
  if (day < anchor) {
    throw new PartitionError(`${isoDate(day)} is not on the calendar of ${name}, which begins on ${calendar.start}.`);
  }
  const limit = calendar.end === null ? Number.POSITIVE_INFINITY : dayNumber(calendar.end);
  if (day > limit) {
    throw new PartitionError(`${isoDate(day)} is not on the calendar of ${name}, which ends on ${calendar.end}.`);
  }
  const first = day - ((day - anchor) % calendar.everyDays);
  const start = isoDate(first);
  const end = isoDate(Math.min(first + calendar.everyDays - 1, limit));
  return { key: calendar.everyDays === 1 ? start : `${start}..${end}`, start, end };
}

function cut({ name }: Calendared, day: string, side: 'from' | 'to', chunk: PartitionBounds): PartitionError {
  const advice = side === 'from' ? `begin at ${chunk.start}` : `end at ${chunk.end}`;
  return new PartitionError(
    `${side} ${day} cuts the chunk ${chunk.key} of ${name}; ${advice}, or leave the chunk out.`,
  );
}

function example({ calendar }: Calendared): string {
  const start = dayNumber(calendar.start);
  return calendar.everyDays === 1
    ? `expected a day such as ${calendar.start}`
    : `expected a chunk such as ${partitionWith({ name: '', calendar }, start).key}`;
}

function checkedDay(text: string): number {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) {
    throw new PartitionError(`${JSON.stringify(text)} is not a date; expected one such as 2025-07-16.`);
  }
  if (!isDate(text)) throw new PartitionError(`${text} is not a date that exists.`);
  return dayNumber(text);
}

/** Days since 1970-01-01. */
function dayNumber(text: string): number {
  return Date.parse(`${text}T00:00:00Z`) / DAY_MS;
}

function isoDate(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}
