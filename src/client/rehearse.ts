import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { FailingTest, Rehearsal } from '../contracts/fix.js';
import { MAX_FIX_SQL } from '../contracts/fix.js';
import type { PartitionBounds } from '../contracts/step.js';
import { boundsOf } from '../pipeline/calendar.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { renderFixRules } from '../pipeline/render.js';
import { maskPersonal } from '../runners/mask.js';
import { personalWord } from '../runners/personal-names.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { readEvidence } from '../warehouse/fixes/evidence.js';
import { createSqlGuard } from '../warehouse/fixes/guard.js';
import { rehearseFix } from '../warehouse/fixes/rehearse.js';
import { UsageError } from './errors.js';
import { openClearLedger } from './open.js';
import type { PipelineFiles } from './pipelines.js';

/**
 * Finds out what SQL would do to a partition, without changing it. Needs the warehouse, but no Temporal.
 * @throws PartitionError when the pipeline allows no fixes or has no such partition.
 */
export async function rehearse(
  files: PipelineFiles,
  pipeline: string,
  partition: string,
  sql: string,
): Promise<Rehearsal> {
  const { config } = files;
  const definition = files.pipeline(pipeline);
  const rules = renderFixRules(definition);
  const bounds = boundsOf(definition, partition);
  const deps = {
    clients: bigQueryClients(config),
    guard: createSqlGuard(path.join(config.venv, 'bin', 'python')),
    mask: maskPersonal,
    personalWord,
  };
  const tests = await failingTests(files, definition, bounds);
  return rehearseFix(deps, { sql, rules, partition: bounds, tests });
}

/**
 * Rehearses the SQL of a file.
 * @param file path from the pipeline's folder, or from the working directory.
 * @throws UsageError for a file that is not there, and what `rehearse` throws.
 */
export async function rehearseFile(
  files: PipelineFiles,
  pipeline: string,
  partition: string,
  file: string,
): Promise<Rehearsal> {
  return rehearse(files, pipeline, partition, await sqlOf(files.pipeline(pipeline), file));
}

async function sqlOf({ name, dir }: PipelineDefinition, file: string): Promise<string> {
  const text = (await textOf(path.resolve(dir, file))) ?? (await textOf(path.resolve(file)));
  if (text === null) throw new UsageError(`There is no file ${file}, neither in the folder of ${name} nor here.`);
  if (text.length <= MAX_FIX_SQL) return text;
  throw new UsageError(`${file} is longer than the ${MAX_FIX_SQL} characters that a fix may have.`);
}

/** Null when there is no such file. */
async function textOf(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}

/** The tests that failed last in the partition, as far as the ledger and the state folder know. */
async function failingTests(
  { config }: PipelineFiles,
  { name }: PipelineDefinition,
  { key, start, end }: PartitionBounds,
): Promise<FailingTest[]> {
  if (config.ledger === null) return [];
  const row = (await openClearLedger(config).latest(name, start, end)).get(key);
  const failed = row?.steps.findLast(({ failure }) => failure?.evidence != null);
  return readEvidence(config.stateDir, failed?.failure?.evidence ?? null);
}
