import type { Calendar } from './definition.js';
import { PartitionError } from './errors.js';
import { isDate } from './scalars.js';

/** `partition:` as it stands in the file; vars may stand in it, so that a start with other vars can have another calendar. */
export interface CalendarText {
  every: string;
  start: string;
  end: string | null;
}

/** Days of a partition, such as `30d`, or `${vars.days}d`. */
export const EVERY = /^(?:[1-9]\d{0,3}|\$\{vars\.[A-Za-z]\w*\})d$/;
/** A day, or a var that is one. */
export const DAY = /^(?:\d{4}-\d{2}-\d{2}|\$\{vars\.[A-Za-z]\w*\})$/;

/**
 * The calendar with the values of vars in it.
 * @throws PartitionError when it is none with them.
 */
export function calendarOf({ every, start, end }: CalendarText, vars: Record<string, string>): Calendar {
  const resolved = (text: string) => text.replace(/\$\{vars\.(\w+)\}/g, (_, name: string) => vars[name] ?? '');
  const days = resolved(every);
  if (!/^[1-9]\d{0,3}d$/.test(days))
    throw new PartitionError(`A partition of ${days} is none; expected days, such as 30d.`);
  for (const day of [start, end].flatMap((text) => (text === null ? [] : [resolved(text)]))) {
    if (!isDate(day))
      throw new PartitionError(`${JSON.stringify(day)} is not a date; expected one such as 2025-07-16.`);
  }
  const calendar = { everyDays: Number.parseInt(days, 10), start: resolved(start), end: end && resolved(end) };
  if (calendar.end !== null && calendar.end < calendar.start) {
    throw new PartitionError(`The calendar ends on ${calendar.end}, before it begins on ${calendar.start}.`);
  }
  return calendar;
}
