import type { DayTotals, Totals } from './day-totals.js';
import { abs, compare, type Decimal, decimal, decimalText, minus, times } from './decimal.js';

/** How far the target may be from the source: within either of the two; decimal texts. */
export interface Tolerance {
  absolute: string;
  percent: string;
}

const MOST_BYTES = 3000;

/** One sentence for each day that differs, in order of days: empty when source and target agree. */
export function differences(source: DayTotals, target: DayTotals, tolerance: Tolerance): string[] {
  const days = [...new Set([...source.days.keys(), ...target.days.keys()])].sort();
  return days.flatMap((day) => {
    const [there, here] = [source.days.get(day), target.days.get(day)];
    if (here === undefined) return [`${day} is missing in the target (${listed(there!)})`];
    if (there === undefined) return [`${day} is in the target only (${listed(here)})`];
    const figures = source.names.flatMap((name) => difference(name, there[name]!, here[name]!, tolerance) ?? []);
    return figures.length === 0 ? [] : [`${day}: ${figures.join(', ')}`];
  });
}

/** What a step that found differences says: the days and the differences, as many as history has room for. */
export function mismatchMessage(found: string[], days: number): string {
  let bytes = 0;
  const shown = found.filter((text) => {
    bytes += Buffer.byteLength(text) + 2;
    return bytes <= MOST_BYTES;
  });
  const more = found.length - shown.length;
  const rest = more === 0 ? '' : `; and ${more} more`;
  return `${found.length} of ${days} days differ: ${shown.join('; ')}${rest}.`;
}

function difference(name: string, source: Decimal | null, target: Decimal | null, tolerance: Tolerance): string | null {
  if (source === null || target === null) {
    return source === target ? null : `${name} ${text(source)} in the source, ${text(target)} in the target`;
  }
  const apart = minus(target, source);
  const size = abs(apart);
  const isClose =
    compare(size, decimal(tolerance.absolute)!) <= 0 ||
    compare(times(size, decimal('100')!), times(decimal(tolerance.percent)!, abs(source))) <= 0;
  if (isClose) return null;
  const word = apart.units < 0n ? 'less' : 'more';
  return `${name} ${text(source)} in the source, ${text(target)} in the target (${decimalText(size)} ${word})`;
}

function listed(totals: Totals): string {
  return Object.entries(totals)
    .map(([name, value]) => `${name} ${text(value)}`)
    .join(', ');
}

function text(value: Decimal | null): string {
  return value === null ? 'null' : decimalText(value);
}
