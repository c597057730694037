import { InvalidArgumentError } from 'commander';
import { UsageError } from '../client/errors.js';
import { type Dayfill, openDayfill } from '../client/open.js';
import { loadConfig } from '../config.js';
import type { AddInput } from '../contracts/backfill.js';
import type { Vars } from '../contracts/ids.js';

/** `2025-07-18,2025-07-20` */
export function keyList(text: string): string[] {
  const keys = text.split(',').map((key) => key.trim());
  if (keys.includes(''))
    throw new InvalidArgumentError('expected keys separated by commas, e.g. 2025-07-18,2025-07-20');
  return keys;
}

export function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1');
  return Number(text);
}

/** `--var name=value`, any number of times. */
export function varList(text: string, before: Vars = {}): Vars {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('expected name=value');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Either a range or keys: exactly one of both. */
export function selection(options: { from?: string; to?: string; partitions?: string[] }): AddInput {
  const { from, to, partitions } = options;
  if (partitions !== undefined && from === undefined && to === undefined) return { partitions };
  if (partitions === undefined && from !== undefined && to !== undefined) return { from, to };
  throw new UsageError('Say which partitions: --from and --to, or --partitions.');
}

/** Opens dayfill for the length of a command. */
export async function withDayfill<T>(work: (dayfill: Dayfill) => Promise<T>): Promise<T> {
  const dayfill = await openDayfill(loadConfig());
  try {
    return await work(dayfill);
  } finally {
    await dayfill.close();
  }
}

/** One JSON document on stdout, and nothing else there. */
export function printJson(document: unknown): void {
  console.log(JSON.stringify(document, null, 2));
}
