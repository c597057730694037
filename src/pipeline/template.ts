import type { Json, PartitionBounds } from '../contracts/step.js';
import { PartitionError } from './errors.js';

/** What stands between `${` and `}`; an opening without its end counts as one that is empty. */
const REFERENCE = /\$\{([^}]*)\}|\$\{/g;

/**
 * Where the values of `${…}` come from. `previousState` is undefined when the partition before handed nothing on; the first
 * partition of a calendar has none before it, and its `${previous.state.…}` are null, so that a pipeline can begin.
 */
export interface TemplateValues {
  /** The variant name. */
  pipeline: string;
  isFirst: boolean;
  partition: PartitionBounds;
  vars: Record<string, string>;
  previousState: Json | undefined;
}

/** Every text in a value, with its place. */
export function* textsIn(
  value: Json,
  path: (string | number)[] = [],
): Generator<{ path: (string | number)[]; text: string }> {
  if (typeof value === 'string') yield { path, text: value };
  else if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* textsIn(item, [...path, index]);
  else if (value !== null && typeof value === 'object')
    for (const [name, item] of Object.entries(value)) yield* textsIn(item, [...path, name]);
}

/** The names that a text refers to. */
export function referencesIn(text: string): string[] {
  return [...text.matchAll(REFERENCE)].map((match) => match[1] ?? '');
}

/** Why a name cannot stand in `${…}`; null when it can. */
export function referenceProblem(name: string, vars: Record<string, unknown>): string | null {
  if (name === 'pipeline' || name === 'partition' || name === 'partition.start' || name === 'partition.end')
    return null;
  if (/^previous\.state(\.[A-Za-z0-9_-]+)+$/.test(name)) return null;
  if (name.startsWith('vars.')) {
    if (Object.hasOwn(vars, name.slice('vars.'.length))) return null;
    const known = Object.keys(vars);
    return `\${${name}} is not declared under vars; there ${known.length === 0 ? 'are none' : `is ${known.join(', ')}`}`;
  }
  return `unknown \${${name}}; expected pipeline, partition, partition.start, partition.end, vars.<name> or previous.state.<name>`;
}

/**
 * Replaces every `${…}` in the texts of a value, once: what is put in is not looked at again. A text that is nothing but one
 * `${previous.state.…}` becomes the JSON value itself.
 * @throws PartitionError for a name that has no value.
 */
export function substitute(value: Json, values: TemplateValues): Json {
  if (typeof value === 'string') return substituteText(value, values);
  if (Array.isArray(value)) return value.map((item) => substitute(item, values));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, substitute(item, values)]));
}

function substituteText(text: string, values: TemplateValues): Json {
  const whole = /^\$\{(previous\.state\.[^}]*)\}$/.exec(text);
  if (whole !== null) return valueFor(whole[1]!, values);
  return text.replace(REFERENCE, (_, name: string | undefined) => asText(valueFor(name ?? '', values)));
}

/** A value inside a text: null is nothing, and lists and objects are JSON. */
export function asText(value: Json): string {
  if (value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function valueFor(name: string, values: TemplateValues): Json {
  const problem = referenceProblem(name, values.vars);
  if (problem !== null) throw new PartitionError(`${problem}.`);
  const { key, start, end } = values.partition;
  if (name === 'pipeline') return values.pipeline;
  if (name === 'partition') return key;
  if (name === 'partition.start') return start;
  if (name === 'partition.end') return end;
  if (name.startsWith('vars.')) return values.vars[name.slice('vars.'.length)]!;
  return previousValue(name, values);
}

function previousValue(name: string, { previousState, partition, isFirst }: TemplateValues): Json {
  if (isFirst) return null;
  let found = previousState;
  for (const part of name.split('.').slice(2)) {
    const inside = found as Record<string, Json> | null | undefined;
    found = Object.prototype.propertyIsEnumerable.call(inside ?? {}, part) ? inside![part] : undefined;
  }
  if (found === undefined) {
    throw new PartitionError(
      `\${${name}} has no value for ${partition.key}: the partition before handed on no such state; run that one first.`,
    );
  }
  return found;
}
