import type { StepHeartbeat } from '../../contracts/step.js';
import type { DagsterLogEntry } from '../../runners/dagster-deployment.js';
import type { DagsterFailure } from './dagster-result.js';

/** Reads a run's event log as warehouse/runner/dayfill_runner/dagster_job.py does: progress, numeric metadata, failures. */
export class DagsterEvents {
  readonly counts: Record<string, number> = {};
  private readonly ofSteps: DagsterFailure[] = [];
  private ofRun: string | null = null;
  /** What Dagster itself said last, such as that the process of the run is gone. */
  private lastWord = '';
  /** How many of its steps are done, and at what it is. */
  readonly progress: Required<Pick<StepHeartbeat, 'done' | 'total' | 'current'>>;

  constructor(total: number) {
    this.progress = { done: 0, total, current: 'before its first step' };
  }

  /** Takes an event and returns what people want to read of it. */
  take(event: DagsterLogEntry): string {
    const { eventType: type, stepKey, message, error } = event;
    if (type === 'STEP_FAILURE') this.ofSteps.push({ step: stepKey ?? null, message: failureOf(event) });
    else if (type === 'RUN_FAILURE') this.ofRun = message;
    else if (type === 'ENGINE_EVENT') this.lastWord = message;
    else if (type === 'ASSET_MATERIALIZATION' || type === 'STEP_OUTPUT') this.count(event);
    this.follow(event);
    const why = [error?.message, error?.cause?.message].filter((each) => each != null).map((each) => each.trim());
    const time = new Date(Number(event.timestamp)).toISOString().slice(11, 19);
    return [`${time}  ${stepKey == null ? '' : `${stepKey}: `}${message || type}`, ...why].join('\n');
  }

  /** Why the run failed; by its steps, if one of them says so. */
  get failures(): DagsterFailure[] {
    if (this.ofSteps.length > 0) return this.ofSteps;
    return [{ step: null, message: [this.ofRun ?? 'The run failed.', this.lastWord].join(' ').trim() }];
  }

  private follow({ eventType: type, stepKey, assetKey }: DagsterLogEntry): void {
    if (stepKey == null) return;
    if (type === 'STEP_SUCCESS' || type === 'STEP_SKIPPED') this.progress.done++;
    else if (type !== 'STEP_START' && assetKey == null) return;
    this.progress.current = assetKey == null ? stepKey : `${stepKey} · ${assetKey.path.at(-1)}`;
  }

  private count({ metadataEntries }: DagsterLogEntry): void {
    for (const { label, intRepr, floatRepr } of metadataEntries ?? []) {
      const value = Number(intRepr ?? floatRepr ?? Number.NaN);
      if (Number.isFinite(value)) this.counts[label] = value;
    }
  }
}

/** A step that raised dagster.Failure says why in its description; any other error comes wrapped in one of Dagster's. */
function failureOf({ failureMetadata, error }: DagsterLogEntry): string {
  if (failureMetadata?.description) return failureMetadata.description;
  const own = error?.cause != null && /^Dagster/.test(error.className ?? '') ? error.cause : error;
  return own == null ? 'The step failed.' : own.message.replace(/\s+/g, ' ').trim();
}
