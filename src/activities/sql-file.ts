import { readSql } from '../pipeline/sql-text.js';
import { type StepContext, StepError } from './step-activity.js';

/** The text of a SQL file of the pipeline's folder, with the legacy token replaced. */
export async function readSqlFile({ pipelineDir, request }: StepContext, file: string): Promise<string> {
  try {
    return await readSql(pipelineDir, file, request.partition);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new StepError(
      'missing_executable',
      `The SQL file ${file} is not there: put it back or correct the pipeline.`,
    );
  }
}
