import { stepKey } from '../contracts/ids.js';
import type { PartitionInput, RenderedPartition, RenderedStep } from '../contracts/partition.js';
import type { StepRequest } from '../contracts/step.js';
import { prepareDagsterJob } from './dagster-job.js';
import { prepareDbtBuild } from './dbt-build.js';
import type { StepDeps } from './step-activity.js';
import { stepSetting } from './step-environment.js';
import { pythonPath } from './step-protection.js';

type Prepared = Pick<StepRequest, 'key' | 'pipeline' | 'partition' | 'with'>;

/**
 * Has the processes that stay start for the later steps of a partition while its first one runs: Python takes seconds to start and to
 * load a project. Most partitions find them there. What fails is told by the step itself.
 */
export async function prepareLaterSteps(
  deps: StepDeps,
  { pipeline, partition, vars }: PartitionInput,
  { bounds, steps }: RenderedPartition,
): Promise<void> {
  const [first, ...later] = steps;
  for (const step of later) {
    // A process of dbt does whatever project there is: while it loads another one, the first step would wait for it.
    if (step.uses === 'dbt/build' && first?.uses === 'dbt/build') continue;
    const key = stepKey(pipeline, partition, step.id, vars);
    await prepare(deps, step, { key, pipeline, partition: bounds, with: step.with }).catch((err) =>
      deps.logger.debug({ err, key }, 'not prepared'),
    );
  }
}

async function prepare(deps: StepDeps, { uses, limits }: RenderedStep, request: Prepared): Promise<void> {
  // How much a job may bill is part of a process's environment, and not known before the step has begun.
  if (limits !== undefined) return;
  const settingOf = <K extends 'dbt/build' | 'dagster/job'>(kind: K) => {
    const setting = stepSetting(kind, deps.config, request, { labels: {}, maxBytesBilled: null });
    return { ...setting, env: { ...setting.env, PYTHONPATH: pythonPath(setting.env) } };
  };
  if (uses === 'dbt/build') await prepareDbtBuild(deps, settingOf(uses));
  else if (uses === 'dagster/job') await prepareDagsterJob(deps, settingOf(uses), request);
}
