import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type StepContext, StepError } from './step-activity.js';

/** The token of the hand-made scripts that dayfill replaces; new files use `@partition`. */
const LEGACY_DATE = /PLACEHOLDER_DATE/g;

/** The text of a SQL file of the pipeline's folder, with the legacy token replaced. */
export async function readSqlFile({ pipelineDir, request }: StepContext, file: string): Promise<string> {
  try {
    const text = await readFile(path.resolve(pipelineDir, file), 'utf8');
    return text.replace(LEGACY_DATE, request.partition.start);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new StepError(
      'missing_executable',
      `The SQL file ${file} is not there: put it back or correct the pipeline.`,
    );
  }
}
