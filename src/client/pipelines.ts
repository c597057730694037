import type { Config } from '../config.js';
import { pipelineName } from '../contracts/backfill.js';
import type { Vars } from '../contracts/ids.js';
import type { PartitionBounds } from '../contracts/step.js';
import { boundsOf } from '../pipeline/calendar.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { PipelineError } from '../pipeline/errors.js';
import { listPipelines, loadPipeline } from '../pipeline/load.js';
import { forVars } from '../pipeline/render.js';
import { UsageError } from './errors.js';

/** The pipeline files, which can be asked before anything is connected to. */
export interface PipelineFiles {
  config: Config;
  /**
   * @param vars of a run with others than the file's.
   * @throws PipelineError, PartitionError
   */
  pipeline(name: string, vars?: Vars): PipelineDefinition;
}

export function openPipelines(config: Config): PipelineFiles {
  const pipeline = (name: string, vars?: Vars) =>
    forVars(loadPipeline(config.pipelinesDir, name, { defaultVenv: config.venv }), vars);
  return { config, pipeline };
}

/**
 * The pipeline of a name as ids and the ledger have it: `talbots`, or `talbots~1a2b3c4d` for a run with other vars.
 * @throws UsageError for what is neither.
 */
export function plainName(name: string): string {
  const [plain = '', variant, ...rest] = name.split('~');
  const isVariant = variant === undefined || (/^[0-9a-f]{8}$/.test(variant) && rest.length === 0);
  const parsed = pipelineName.safeParse(plain);
  if (parsed.success && isVariant) return plain;
  const expected = parsed.error?.issues[0]?.message ?? 'a run with other vars is named like talbots~1a2b3c4d';
  throw new UsageError(`${JSON.stringify(name)} is not the name of a pipeline: ${expected}.`);
}

/**
 * Looking, pausing and cancelling must work while a pipeline file is broken, so that only its being there is checked.
 * @throws PipelineError when there is no such pipeline.
 */
export function checkKnown({ config, pipeline }: PipelineFiles, name: string): void {
  const plain = plainName(name);
  if (!listPipelines(config.pipelinesDir).includes(plain)) pipeline(plain);
}

/**
 * First and last day of a partition; null when they cannot be told, as while the pipeline file is broken, which must not
 * keep anyone from looking at a partition or deciding.
 * @throws PartitionError when it is not on the calendar, PipelineError when there is no such pipeline.
 */
export function partitionBounds(files: PipelineFiles, name: string, partition: string): PartitionBounds | null {
  checkKnown(files, name);
  // Of a run with other vars only a hash is known, and its calendar may be another.
  if (name.includes('~')) return null;
  let definition: PipelineDefinition;
  try {
    definition = files.pipeline(plainName(name));
  } catch (error) {
    if (error instanceof PipelineError) return null;
    throw error;
  }
  return boundsOf(definition, partition);
}
