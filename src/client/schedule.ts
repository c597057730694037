import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  type ScheduleOptions,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import { type CatchUpInput, catchUpInputSchema } from '../contracts/catch-up.js';
import { catchUpId, TASK_QUEUE } from '../contracts/ids.js';
import { isTimeZone } from '../pipeline/time-zone.js';
import { StateError, UsageError } from './errors.js';
import type { Dayfill } from './open.js';
import type { PipelineFiles } from './pipelines.js';

/** Nights further back than this are left to the next one, whose lookback covers them. */
const CATCH_UP_WINDOW = '1 day';

/** When a pipeline catches up, and how much of it. */
export interface ScheduleSettings extends Omit<CatchUpInput, 'scheduledAt'> {
  /** Five fields, such as `0 2 * * *`, in the time zone. */
  cron: string;
}

/** A schedule as it is. */
export interface CatchUpSchedule extends ScheduleSettings {
  paused: boolean;
  /** ISO times. */
  nextRuns: string[];
  lastRuns: { scheduledAt: string; startedAt: string; workflowId: string }[];
}

/**
 * Refuses what can be refused without a server.
 * @throws PipelineError, UsageError
 */
export function checkSchedule(files: PipelineFiles, { pipeline, cron, timezone }: ScheduleSettings): void {
  files.pipeline(pipeline);
  if (!isTimeZone(timezone)) {
    throw new UsageError(`${JSON.stringify(timezone)} is not a time zone; expected one such as Europe/Berlin or UTC.`);
  }
  // Time zones and comments inside, which Temporal would take, would speak against the options.
  if (!/^[\d*A-Za-z/,?-]+( +[\d*A-Za-z/,?-]+){4,6}$/.test(cron)) {
    throw badCron(cron, 'expected five fields: minute, hour, day of the month, month, day of the week');
  }
}

/**
 * Makes the schedule of a pipeline, or changes it to these settings; one that is paused stays so.
 * @throws UsageError when Temporal refuses the settings: then nothing has changed.
 */
export async function setSchedule(dayfill: Dayfill, settings: ScheduleSettings): Promise<CatchUpSchedule> {
  const { pipeline } = settings;
  const options = optionsOf(settings);
  try {
    await dayfill.temporal.schedule.create({ scheduleId: catchUpId(pipeline), ...options });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw refusal(error, settings);
    const handle = dayfill.temporal.schedule.getHandle(catchUpId(pipeline));
    try {
      await handle.update(({ state }) => ({ ...options, state }));
    } catch (refused) {
      throw refusal(refused, settings);
    }
  }
  return showSchedule(dayfill, pipeline);
}

function optionsOf({ cron, ...input }: ScheduleSettings): Pick<ScheduleOptions, 'spec' | 'policies' | 'action'> {
  const { pipeline, timezone } = input;
  return {
    spec: { cronExpressions: [cron], timezone },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCH_UP_WINDOW },
    action: {
      type: 'startWorkflow',
      workflowType: 'catchUp',
      workflowId: catchUpId(pipeline),
      taskQueue: TASK_QUEUE,
      args: [input],
      // Temporal keeps what an expression means, not how it was written.
      memo: { cron },
      staticSummary: `${pipeline} · catch-up`,
    },
  };
}

/** @throws StateError when the pipeline has no schedule. */
export async function showSchedule(dayfill: Dayfill, pipeline: string): Promise<CatchUpSchedule> {
  const { action, state, info } = await orNone(pipeline, handleOf(dayfill, pipeline).describe());
  const input = catchUpInputSchema.safeParse(action.args?.[0]);
  const cron = action.memo?.cron;
  if (!input.success || typeof cron !== 'string') {
    throw new StateError(
      `The schedule ${catchUpId(pipeline)} is not as dayfill made it: set it again with "dayfill schedule set".`,
    );
  }
  return {
    ...input.data,
    cron,
    paused: state.paused,
    nextRuns: info.nextActionTimes.slice(0, 3).map((time) => time.toISOString()),
    lastRuns: info.recentActions.map(({ scheduledAt, takenAt, action: { workflow } }) => ({
      scheduledAt: scheduledAt.toISOString(),
      startedAt: takenAt.toISOString(),
      workflowId: workflow.workflowId,
    })),
  };
}

/** @throws StateError when the pipeline has no schedule. */
export async function pauseSchedule(dayfill: Dayfill, pipeline: string): Promise<void> {
  await orNone(pipeline, handleOf(dayfill, pipeline).pause('dayfill schedule pause'));
}

/** @throws StateError when the pipeline has no schedule. */
export async function resumeSchedule(dayfill: Dayfill, pipeline: string): Promise<void> {
  await orNone(pipeline, handleOf(dayfill, pipeline).unpause('dayfill schedule resume'));
}

/** Nights and digests under way go on. @throws StateError when the pipeline has no schedule. */
export async function removeSchedule(dayfill: Dayfill, pipeline: string): Promise<void> {
  await orNone(pipeline, handleOf(dayfill, pipeline).delete());
}

function handleOf({ temporal }: Dayfill, pipeline: string) {
  return temporal.schedule.getHandle(catchUpId(pipeline));
}

async function orNone<T>(pipeline: string, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
    throw new StateError(
      `${pipeline} has no schedule; make one with: dayfill schedule set ${pipeline} --cron "0 2 * * *"`,
    );
  }
}

/** Temporal's own word on an expression or a time zone; the client tells it as a TypeError. */
function refusal(error: unknown, { cron, timezone }: ScheduleSettings): unknown {
  if (!(error instanceof TypeError)) return error;
  return /time zone/.test(error.message)
    ? new UsageError(`Temporal does not know the time zone ${JSON.stringify(timezone)}; mind its capital letters.`)
    : badCron(cron, error.message);
}

function badCron(cron: string, why: string): UsageError {
  return new UsageError(`${JSON.stringify(cron)} is not a cron expression: ${why}.`);
}
