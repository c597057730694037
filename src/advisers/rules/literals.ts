import type { Json } from '../../contracts/step.js';

/** A string literal; BigQuery knows JSON's escapes. */
export function literal(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

/**
 * The values of dbt's accepted_values as a list of literals; null when they are no plain values.
 * @param quoted whether dbt takes them for strings, as it does unless told otherwise.
 */
export function acceptedList(values: Json | undefined, quoted: boolean): string | null {
  if (!Array.isArray(values) || values.length === 0) return null;
  const literals = values.map((value) => {
    if (value === null || typeof value === 'object') return null;
    const text = String(value);
    if (quoted) return literal(text);
    return /^(?:-?\d+(?:\.\d+)?|true|false)$/i.test(text) ? text : null;
  });
  return literals.includes(null) ? null : literals.join(', ');
}
