import path from 'node:path';
import type { Config } from '../config.js';
import type { ActivityKind, StepRequest } from '../contracts/step.js';
import { type StepWith, stepKinds } from '../pipeline/step-kinds.js';
import { labelValue } from '../warehouse/labels.js';

/**
 * Labels that every BigQuery job of the step carries, so that a retry can find what a lost attempt left running, and what
 * they took can be summed up. Attempts at one activity have them in common; a step that is run again has others.
 */
export function stepLabels(
  request: StepRequest,
  { runId, activityId }: { runId: string; activityId: string },
): Record<string, string> {
  return {
    dayfill_pipeline: labelValue(request.pipeline),
    dayfill_partition: labelValue(request.partition.key),
    dayfill_step: labelValue(request.step),
    dayfill_run: labelValue(runId),
    dayfill_activity: labelValue(activityId),
  };
}

/** Where a step runs, and with what. */
export interface StepSetting<K extends ActivityKind = ActivityKind> {
  /** The step's `with`, typed. */
  with: StepWith<K>;
  /** Absolute; where relative paths in `with` start. */
  pipelineDir: string;
  /** Absolute: `with.cwd`, else the pipeline's folder. */
  cwd: string;
  /** Absolute: `with.venv`, else the environment of the settings. */
  venv: string;
  /** What processes of the step find in their environment. */
  env: Record<string, string>;
}

/** What every BigQuery job of a step carries, and the most bytes that each of them may bill; null without a bound. */
type JobRules = Pick<StepProcess, 'labels' | 'maxBytesBilled'>;

export function stepSetting<K extends ActivityKind>(
  kind: K,
  config: Config,
  { key, pipeline, with: unchecked }: Pick<StepRequest, 'key' | 'pipeline' | 'with'>,
  rules: JobRules,
): StepSetting<K> {
  const given = stepKinds[kind].parse(unchecked) as StepWith<K>;
  const pipelineDir = path.join(config.pipelinesDir, pipeline);
  const venv = given.venv === undefined ? config.venv : path.resolve(pipelineDir, given.venv);
  return {
    with: given,
    pipelineDir,
    cwd: path.resolve(pipelineDir, given.cwd ?? '.'),
    venv,
    env: childEnvironment(config, { key, venv, ...rules, passed: given.env ?? [] }),
  };
}

interface StepProcess {
  key: string;
  labels: Record<string, string>;
  /** Absolute. */
  venv: string;
  /** Names of variables that the step passes through. */
  passed: string[];
  /** Most bytes that each of its jobs may bill; null without a bound. */
  maxBytesBilled: number | null;
}

/** What processes of a step find in their environment, besides what every program needs. */
function childEnvironment(
  config: Config,
  { key, labels, venv, passed, maxBytesBilled }: StepProcess,
): Record<string, string> {
  const through = passed.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  return {
    ...(config.bigqueryEndpoint !== null && { DAYFILL_BIGQUERY_ENDPOINT: config.bigqueryEndpoint }),
    ...(config.storageEndpoint !== null && {
      DAYFILL_STORAGE_ENDPOINT: config.storageEndpoint,
      STORAGE_EMULATOR_HOST: config.storageEndpoint,
    }),
    DAGSTER_HOME: path.resolve(process.env.DAGSTER_HOME ?? path.join(config.stateDir, 'dagster')),
    ...Object.fromEntries(through),
    PATH: [path.join(venv, 'bin'), process.env.PATH].join(path.delimiter),
    VIRTUAL_ENV: venv,
    DAYFILL_KEY: key,
    DAYFILL_STATE_DIR: config.stateDir,
    DAYFILL_LABELS: JSON.stringify(labels),
    ...(maxBytesBilled !== null && { DAYFILL_MAXIMUM_BYTES_BILLED: `${maxBytesBilled}` }),
  };
}
