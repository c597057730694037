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
import { beating } from './beating.js';
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
  const { plan, planMore, ...loading } = planningActivities(deps);
  return {
    'dagster/job': dagsterJob(deps),
    'dbt/build': dbtBuild(deps),
    'bigquery/query': bigQueryQuery(deps.clients)(deps),
    command: command(deps),
    plan: beating(plan),
    planMore: beating(planMore),
    ...loading,
    ...awaitWorkflowActivity(deps.client),
    recordLedger: beating((row) => deps.ledger.append(row)),
  };
}
