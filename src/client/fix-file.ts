import { statSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from './errors.js';
import { type PipelineFiles, plainName } from './pipelines.js';

/**
 * The name that a SQL file has in a pipeline's folder, e.g. `fixes/x.sql`, whether it was given from there or from the
 * working directory.
 * @throws UsageError when there is no such file in the folder's `fixes/`.
 */
export function fixFile(files: PipelineFiles, pipeline: string, given: string): string {
  const dir = path.join(files.config.pipelinesDir, plainName(pipeline));
  for (const start of [dir, process.cwd()]) {
    const file = path.resolve(start, given);
    const name = path.relative(dir, file);
    if (name.startsWith(`fixes${path.sep}`) && statSync(file, { throwIfNoEntry: false })?.isFile()) return name;
  }
  throw new UsageError(`There is no SQL file ${given} in fixes/ of ${pipeline}: name one such as fixes/x.sql.`);
}
