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

/**
 * Key of the partition before; null for the first.
 * @throws PartitionError when the key is not on the pipeline's calendar.
 */
export function previousPartition(definition: Calendared, key: string): string | null {
  const { start } = boundsOf(definition, key);
  if (start === definition.calendar.start) return null;
  return partitionWith(definition, dayNumber(start) - 1).key;
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
