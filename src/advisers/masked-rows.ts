import type { Json } from '../contracts/step.js';
import { isPersonalName } from '../runners/personal-names.js';
import { firstBytes } from '../runners/text.js';

export type MaskedRow = Record<string, Json>;

const MASKED = '<masked>';
const MOST_BYTES = 200;
const MOST_ITEMS = 10;

/**
 * Rows as people and models may see them: a column that holds personal data by its name, or by the look of one of its
 * values, is masked whole; long values are cut.
 * @param mask takes personal data out of a text.
 * @param meant names of the columns that stand behind other names, as `unique_field` of a dbt test.
 */
export function maskedRows(
  rows: Record<string, unknown>[],
  mask: (text: string) => string,
  meant: Record<string, string> = {},
): MaskedRow[] {
  const hidden = new Set<string>();
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      if (isPersonalName(name) || isPersonalName(meant[name] ?? '') || looksPersonal(value, mask)) hidden.add(name);
    }
  }
  const shown = ([name, value]: [string, unknown]) => [name, hidden.has(name) ? hiddenValue(value) : plain(value)];
  return rows.map((row) => Object.fromEntries(Object.entries(row).map(shown)));
}

/** That nothing is there is no secret, and often the trouble. */
function hiddenValue(value: unknown): Json {
  return value === null || value === undefined ? null : MASKED;
}

function looksPersonal(value: unknown, mask: (text: string) => string): boolean {
  const json = plain(value, Number.POSITIVE_INFINITY);
  if (json === null || typeof json === 'boolean') return false;
  if (typeof json !== 'object') return mask(String(json)) !== String(json);
  return Object.entries(json).some(
    ([name, item]) => (isPersonalName(name) && item !== null) || looksPersonal(item, mask),
  );
}

/** BigQuery's dates, numbers and bytes as JSON. */
function plain(value: unknown, bytes = MOST_BYTES): Json {
  if (value === null || value === undefined) return null;
  if (typeof value === 'boolean' || typeof value === 'number') return value;
  if (typeof value === 'string') return firstBytes(value, bytes);
  if (typeof value !== 'object' || Buffer.isBuffer(value)) return firstBytes(String(value), bytes);
  if (Array.isArray(value)) {
    return (bytes === MOST_BYTES ? value.slice(0, MOST_ITEMS) : value).map((item) => plain(item, bytes));
  }
  if (value.constructor !== Object) {
    const { value: inner } = value as { value?: unknown };
    return typeof inner === 'string' ? inner : firstBytes(String(value), bytes);
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item, bytes)]));
}
