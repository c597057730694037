import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { ActivityKind } from '../contracts/step.js';
import type { StepContext } from './step-activity.js';

/** A folder that belongs to this attempt alone, named like its log: `runs-data/<variant>/<partition>/<step>-<time>`. */
export async function makeAttemptDir<K extends ActivityKind>({ deps, log }: StepContext<K>): Promise<string> {
  const name = log.path.replace(/^logs\//, '').replace(/\.log$/, '');
  const directory = path.join(deps.config.stateDir, 'runs-data', name);
  await mkdir(directory, { recursive: true });
  return directory;
}

/** Removes all but these names from the folder, and the folder too when nothing is left. */
export async function keepOnly(directory: string, names: string[]): Promise<void> {
  const all = await readdir(directory);
  const superfluous = all.filter((name) => !names.includes(name));
  await Promise.all(superfluous.map((name) => rm(path.join(directory, name), { recursive: true, force: true })));
  if (superfluous.length === all.length) await rm(directory, { recursive: true, force: true });
}
