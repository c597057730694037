import { InvalidArgumentError } from 'commander';
import { clearTemporalError } from '../client/connection.js';
import type { DueRequest } from '../client/due.js';
import { UsageError } from '../client/errors.js';
import { type Dayfill, openDayfill } from '../client/open.js';
import { openPipelines, type PipelineFiles } from '../client/pipelines.js';
import { loadConfig } from '../config.js';
import type { AddInput } from '../contracts/backfill.js';
import type { Vars } from '../contracts/ids.js';
import { isDate } from '../pipeline/scalars.js';

/** `2025-07-18,2025-07-20` */
export function keyList(text: string): string[] {
  const keys = text.split(',').map((key) => key.trim());
  if (keys.includes(''))
    throw new InvalidArgumentError('expected keys separated by commas, e.g. 2025-07-18,2025-07-20');
  return keys;
}

/** How many partitions run at once. */
export function concurrency(text: string): number {
  if (!/^[1-9]\d?$|^100$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1 to 100');
  return Number(text);
}

/** More than nothing. */
export function dollars(text: string): number {
  if (!/^\d{1,9}(\.\d{1,6})?$/.test(text) || Number(text) === 0)
    throw new InvalidArgumentError('expected dollars such as 20 or 7.50');
  return Number(text);
}

/** `--var name=value`, any number of times. */
export function varList(text: string, before: Vars = {}): Vars {
  const [, name, value] = /^([a-z]\w*)=(.*)$/is.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('expected name=value');
  return { ...before, [name]: value };
}

/** What says which partitions. */
export interface Selection {
  from?: string;
  to?: string;
  partitions?: string[];
  missing?: true;
  stale?: true;
}

/** The partitions that are missing or stale, as asked for; null when they are named or a range. */
export function dueRequest(options: Selection & { exclude?: string[]; var?: Vars }): DueRequest | null {
  const { missing = false, stale = false, from, to, partitions, exclude, var: vars } = options;
  if (!missing && !stale) return null;
  if (partitions !== undefined) {
    throw new UsageError('--missing and --stale find the partitions themselves: leave out --partitions.');
  }
  return { missing, stale, from, to, exclude, vars };
}

/** Either a range or keys: exactly one of both. */
export function selection(options: Selection): AddInput {
  const { from, to, partitions } = options;
  if (partitions !== undefined && from === undefined && to === undefined) return { partitions };
  if (partitions === undefined && from !== undefined && to !== undefined) return { from, to };
  throw new UsageError('Say which partitions: --from and --to, or --partitions, or --missing, or --stale.');
}

/** Any days will do, so that rows from before a change of the calendar can be seen. */
export function checkDays({ from, to }: { from?: string; to?: string }): void {
  for (const day of [from, to]) {
    if (day !== undefined && !isDate(day))
      throw new UsageError(`${JSON.stringify(day)} is not a date; expected one such as 2025-07-16.`);
  }
  if (from !== undefined && to !== undefined && from > to)
    throw new UsageError(`from ${from} is after to ${to}; swap them.`);
}

/**
 * Opens dayfill for the length of a command. What a command line can be refused for without any server is in `check`,
 * so that it is told whether or not one is up.
 */
export async function withDayfill<T>(
  work: (dayfill: Dayfill) => Promise<T>,
  check: (files: PipelineFiles) => void = () => {},
): Promise<T> {
  const config = loadConfig();
  check(openPipelines(config));
  const dayfill = await openDayfill(config);
  try {
    return await work(dayfill);
  } catch (error) {
    throw clearTemporalError(error, config);
  } finally {
    await dayfill.close();
  }
}

/** Says that what is shown was not asked of a worker, which alone knows it all. */
export function sayWhetherWorkerAnswers({ workerAnswers }: { workerAnswers: boolean }): void {
  if (workerAnswers) return;
  console.error('No worker answers: this is what the ledger and Temporal know; start one with "dayfill stack up".');
}

/** One JSON document on stdout, and nothing else there. */
export function printJson(document: unknown): void {
  console.log(JSON.stringify(document, null, 2));
}
