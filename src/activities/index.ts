import type { Client } from '@temporalio/client';
import type {
  LedgerActivities,
  PlanningActivities,
  StepActivities,
  WorkflowActivities,
} from '../contracts/activities.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import type { Ledger } from '../warehouse/ledger.js';
import { awaitWorkflowActivity } from './await-workflow.js';
import { bigQueryQuery } from './bigquery-query.js';
import { command } from './command.js';
import { dagsterJob } from './dagster-job.js';
import { dbtBuild } from './dbt-build.js';
import { planningActivities } from './planning.js';
import type { StepDeps } from './step-activity.js';

export interface ActivityDeps extends StepDeps {
  client: Client;
  clients: BigQueryClients;
  ledger: Ledger;
  loadPipeline(name: string): PipelineDefinition;
}

/** Every activity, under the name that workflows and the Web UI use. */
export function createActivities(
  deps: ActivityDeps,
): StepActivities & PlanningActivities & LedgerActivities & WorkflowActivities {
  return {
    'dagster/job': dagsterJob(deps),
    'dbt/build': dbtBuild(deps),
    'bigquery/query': bigQueryQuery(deps.clients)(deps),
    command: command(deps),
    ...planningActivities(deps),
    ...awaitWorkflowActivity(deps.client),
    recordLedger: (row) => deps.ledger.append(row),
  };
}
