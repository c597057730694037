import type { BigQueryClients } from '../warehouse/bigquery.js';
import { jobsOutput, runStepQuery } from './bigquery-job.js';
import { readSqlFile } from './sql-file.js';
import { type StepContext, type StepDeps, StepError, type StepOutput, stepActivity } from './step-activity.js';

/** Runs a SQL file as one BigQuery job, with the partition bound as DATE parameters. */
export function bigQueryQuery(
  clients: BigQueryClients,
): (deps: StepDeps) => ReturnType<ReturnType<typeof stepActivity>> {
  return stepActivity('bigquery/query', (context) => runQuery(context, clients));
}

async function runQuery(context: StepContext<'bigquery/query'>, clients: BigQueryClients): Promise<StepOutput> {
  const { file, project, location = null, dataset = null } = context.with;
  if (project === undefined) {
    throw new StepError('pipeline', `No project for ${file}: set the var project_id or the step's project.`);
  }
  const query = await readSqlFile(context, file);
  const done = await runStepQuery(context, clients(project), {
    name: '',
    query,
    location,
    dataset,
    maxBytesBilled: null,
  });
  const rows = done.statistics.query?.numDmlAffectedRows;
  return { ...jobsOutput([done]), counts: rows === undefined ? {} : { rowsAffected: Number(rows) } };
}
