import type { Job } from '@google-cloud/bigquery';
import { StepError } from '../step-activity.js';
import { type Decimal, decimal } from './decimal.js';

/** Figures of a day by name; null where the query gives NULL. */
export type Totals = Record<string, Decimal | null>;

/** What a query of a reconciliation gives: figures by ISO day, in its order of columns. */
export interface DayTotals {
  names: string[];
  days: Map<string, Totals>;
}

/** ISO dates, inclusive. */
export interface Window {
  from: string;
  to: string;
}

const NUMERIC_TYPES = new Set(['INTEGER', 'INT64', 'NUMERIC', 'BIGNUMERIC', 'FLOAT', 'FLOAT64']);

interface Field {
  name: string;
  type: string;
  mode?: string;
}

/**
 * Reads the rows of a finished query: one for each day that has anything, with `day` and numbers.
 * @throws StepError of kind `pipeline` for any other result.
 */
export async function readDayTotals(job: Job, file: string, window: Window): Promise<DayTotals> {
  const wrong = (what: string) => new StepError('pipeline', `The query in ${file} ${what}.`);
  const mostRows = daysOf(window) + 1;
  const [rows, , response] = await job.getQueryResults({
    wrapIntegers: true,
    maxResults: mostRows,
    autoPaginate: false,
  });
  const fields = (response?.schema?.fields ?? []) as Field[];
  const figures = fields.filter(({ name }) => name !== 'day');
  if (fields.find(({ name }) => name === 'day')?.type !== 'DATE') {
    throw wrong('has no column day of type DATE: select the day of each total as day');
  }
  const odd = figures.find(({ type, mode }) => !NUMERIC_TYPES.has(type) || mode === 'REPEATED');
  if (odd !== undefined) throw wrong(`has the column ${odd.name}, which is no number: leave it out`);
  if (figures.length === 0) throw wrong('gives days and nothing else: add count(*) and sums');
  const days = new Map<string, Totals>();
  for (const row of rows as Record<string, unknown>[]) {
    const day = row.day === null ? null : (row.day as { value: string }).value;
    if (day === null) throw wrong('gives totals without a day: leave rows without a day out, or give them one');
    if (day < window.from || day > window.to) {
      throw wrong(`gives ${day}, which is not asked for: add "day between @window_start and @window_end" to its WHERE`);
    }
    if (days.has(day)) throw wrong(`gives ${day} twice: group by day`);
    days.set(
      day,
      Object.fromEntries(
        figures.map(({ name }) => [name, exact(row[name], () => wrong(`gives no number as ${name} of ${day}`))]),
      ),
    );
  }
  return { names: figures.map(({ name }) => name), days };
}

export function daysOf({ from, to }: Window): number {
  return (Date.parse(to) - Date.parse(from)) / 86_400_000 + 1;
}

/** INT64 comes as an object with its text, NUMERIC as a big number, FLOAT64 as a number. */
function exact(value: unknown, wrong: () => StepError): Decimal | null {
  if (value === null || value === undefined) return null;
  const text = typeof value === 'object' && 'value' in value ? String(value.value) : String(value);
  const number = decimal(text);
  if (number === null) throw wrong();
  return number;
}
