import { jobsOutput, runStepQuery } from './bigquery-job.js';
import { readSqlFile } from './sql-file.js';
import { StepError, type StepOutput, stepActivity } from './step-activity.js';

/** Runs a SQL file as one BigQuery job, with the partition bound as DATE parameters. */
export const bigQueryQuery = stepActivity('bigquery/query', async (context): Promise<StepOutput> => {
  const { file, project, location = null, dataset = null } = context.with;
  if (project === undefined) {
    throw new StepError('pipeline', `No project for ${file}: set the var project_id or the step's project.`);
  }
  const query = await readSqlFile(context, file);
  const done = await runStepQuery(context, context.deps.clients(project), {
    name: '',
    query,
    location,
    dataset,
    maxBytesBilled: null,
  });
  const rows = done.statistics.query?.numDmlAffectedRows;
  return { ...jobsOutput([done]), counts: rows === undefined ? {} : { rowsAffected: Number(rows) } };
});
