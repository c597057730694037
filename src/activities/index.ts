import type { Client } from '@temporalio/client';
import type { Adviser } from '../advisers/adviser.js';
import type {
  CatchUpActivities,
  FixActivities,
  LedgerActivities,
  NoticeActivities,
  PlanningActivities,
  StepActivities,
  WorkflowActivities,
} from '../contracts/activities.js';
import type { Vars } from '../contracts/ids.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import type { FixRecords } from '../warehouse/fixes/fix-record.js';
import type { QueryGuard, SqlGuard } from '../warehouse/fixes/guard.js';
import type { Ledger } from '../warehouse/ledger.js';
import type { TotalsRecord } from '../warehouse/told-totals.js';
import { adviceActivities } from './advise.js';
import { awaitWorkflowActivity } from './await-workflow.js';
import { beating } from './beating.js';
import { bigQueryFix } from './bigquery-fix.js';
import { bigQueryQuery } from './bigquery-query.js';
import { catchUpActivities } from './catch-up.js';
import { checkReconcile } from './check-reconcile.js';
import { command } from './command.js';
import { dagsterJob } from './dagster-job.js';
import { dbtBuild } from './dbt-build.js';
import { digestActivity } from './digest.js';
import { fixActivities } from './fixes.js';
import { noticeActivities } from './notify.js';
import { planningActivities } from './planning.js';
import { prepareLaterSteps } from './prepare-later-steps.js';
import type { StepDeps } from './step-activity.js';
import { storageCleanup } from './storage-cleanup.js';
import { storageUpload } from './storage-upload.js';

export interface ActivityDeps extends StepDeps {
  client: Client;
  clients: BigQueryClients;
  ledger: Ledger;
  loadPipeline(name: string, vars?: Vars): PipelineDefinition;
  guard: SqlGuard;
  queryGuard: QueryGuard;
  totalsRecord: TotalsRecord;
  fixRecords: FixRecords;
  /** Who is asked for a proposal, in this order. */
  advisers: Adviser[];
}

/** Every activity, under the name that workflows and the Web UI use. */
export function createActivities(
  deps: ActivityDeps,
): StepActivities &
  PlanningActivities &
  CatchUpActivities &
  FixActivities &
  LedgerActivities &
  NoticeActivities &
  WorkflowActivities {
  const { prepareFix, findCanary } = fixActivities(deps);
  const { plan, planMore, loadPartition, matchRemedies } = planningActivities(deps);
  const { nightOf, findDue, addToBackfill } = catchUpActivities(deps);
  const { gatherDigest } = digestActivity(deps);
  return {
    'dagster/job': dagsterJob(deps),
    'dbt/build': dbtBuild(deps),
    'bigquery/query': bigQueryQuery(deps),
    'bigquery/fix': bigQueryFix(deps)(deps),
    'storage/upload': storageUpload(deps),
    'storage/cleanup': storageCleanup(deps),
    'check/reconcile': checkReconcile(deps)(deps),
    command: command(deps),
    plan: beating(plan),
    planMore: beating(planMore),
    loadPartition: async (input) => {
      const rendered = await loadPartition(input);
      void prepareLaterSteps(deps, input, rendered);
      return rendered;
    },
    matchRemedies,
    nightOf,
    findDue: beating(findDue),
    addToBackfill: beating(addToBackfill),
    gatherDigest: beating(gatherDigest),
    prepareFix: beating(prepareFix),
    findCanary: beating(findCanary),
    ...adviceActivities(deps),
    ...awaitWorkflowActivity(deps.client),
    ...noticeActivities(deps),
    recordLedger: beating((...rows) => deps.ledger.append(...rows)),
  };
}
