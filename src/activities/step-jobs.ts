import type { Info } from '@temporalio/activity';
import type { Usage } from '../contracts/limits.js';
import type { ActivityKind, StepRequest } from '../contracts/step.js';
import type { StepWith } from '../pipeline/step-kinds.js';
import { answered } from '../warehouse/answered.js';
import { costUsd } from '../warehouse/cost.js';
import { JobMeter } from '../warehouse/jobs.js';
import type { StepDeps } from './step-activity.js';
import { stepLabels } from './step-environment.js';

/** The BigQuery jobs of a step, all attempts at this activity included, found by their labels. */
export class StepJobs {
  readonly labels: Record<string, string>;
  /** Null without a project whose jobs could be looked at. */
  readonly meter: JobMeter | null;
  private readonly project: string | null;

  constructor(
    kind: ActivityKind,
    private readonly deps: StepDeps,
    request: StepRequest,
    { workflowExecution, activityId, scheduledTimestampMs }: Info,
  ) {
    this.labels = stepLabels(request, { runId: workflowExecution?.runId ?? '', activityId });
    this.project = projectOf(kind, request);
    const bigquery = this.project === null ? null : deps.clients(this.project);
    this.meter = bigquery && new JobMeter(bigquery, this.labels, new Date(scheduledTimestampMs));
  }

  /**
   * What they took.
   * @param told what the step says itself, for where none of its jobs has the labels.
   * @throws when the warehouse does not answer.
   */
  async usage(told: Partial<Usage>): Promise<Usage> {
    const measured = this.meter && (await answered(this.meter.read()));
    const used = {
      bytesBilled: measured?.bytesBilled ?? told.bytesBilled ?? null,
      slotMs: measured?.slotMs ?? told.slotMs ?? null,
    };
    return { ...used, costUsd: costUsd(used, this.deps.config.prices) };
  }

  /** Why they could not be cancelled; null when all of them have ended. */
  async cancel(): Promise<string | null> {
    try {
      await this.deps.cancelLabelledJobs(this.project ?? undefined, this.labels);
      return null;
    } catch (error) {
      return (error as Error).message;
    }
  }
}

function projectOf(kind: ActivityKind, { project, with: given }: StepRequest): string | null {
  if (kind === 'bigquery/fix') return (given as unknown as StepWith<'bigquery/fix'>).rules.project;
  if (kind === 'bigquery/query') return (given as StepWith<'bigquery/query'>).project ?? project;
  return project;
}
