import { existsSync } from 'node:fs';
import path from 'node:path';
import type { StepWith } from './step-kinds.js';

/** Arguments of dbt that a step means, but for its vars: where things are, and what is selected. `project` is absolute. */
export function dbtArguments(
  given: Pick<StepWith<'dbt/build'>, 'profiles_dir' | 'target' | 'select' | 'exclude'>,
  project: string,
  pipelineDir: string,
): { options: string[]; selection: string[] } {
  const profiles = given.profiles_dir === undefined ? project : path.resolve(pipelineDir, given.profiles_dir);
  const hasProfiles = given.profiles_dir !== undefined || existsSync(path.join(project, 'profiles.yml'));
  const list = (option: string, names: string | string[] | undefined) =>
    names === undefined ? [] : [option, ...[names].flat()];
  return {
    options: [
      ...['--project-dir', project],
      ...(hasProfiles ? ['--profiles-dir', profiles] : []),
      ...(given.target === undefined ? [] : ['--target', given.target]),
    ],
    selection: [...list('--select', given.select), ...list('--exclude', given.exclude)],
  };
}
