import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Json } from '../contracts/step.js';
import { isFolder } from '../is-folder.js';
import { worksOf } from './checks.js';
import type { DocumentProblem } from './messages.js';
import type { PipelineFile } from './schema.js';
import { referencesIn } from './template.js';

/** Which steps need Python without naming an environment; their `project` is a folder, not one of Google Cloud. */
const PYTHON_KINDS: readonly string[] = ['dagster/job', 'dbt/build'];

/**
 * What a checked file refers to that is not there. `dir` is the pipeline's folder, `defaultVenv` absolute; `coming` are
 * files that will be there.
 */
export function checkWorld(
  file: PipelineFile,
  dir: string,
  defaultVenv: string,
  coming: readonly string[] = [],
): DocumentProblem[] {
  const freshness =
    file.freshness?.file === undefined ? null : fileProblem(path.resolve(dir, file.freshness.file), dir);
  const ofFreshness = freshness === null ? [] : [{ path: ['freshness', 'file'], message: freshness }];
  const ofLimits = file.steps.flatMap((step, index) => labelProblem(step, ['steps', index], file, dir));
  const ofWorks = worksOf(file).flatMap(({ path: place, work }) => {
    const given = work.with as Record<string, Json>;
    const resolved = (name: string): string | undefined => {
      const value = given[name];
      return typeof value === 'string' ? path.resolve(dir, withFixedVars(value, file)) : undefined;
    };
    const problem = (name: string, message: string | null): DocumentProblem[] =>
      message === null ? [] : [{ path: [...place, 'with', name], message }];

    const problems: DocumentProblem[] = [];
    const needsPython = PYTHON_KINDS.includes(work.uses) && given.mode !== 'graphql';
    for (const name of ['cwd', 'profiles_dir', ...(needsPython ? ['project'] : [])]) {
      const folder = resolved(name);
      if (folder !== undefined) problems.push(...problem(name, folderProblem(folder)));
    }
    for (const name of work.uses === 'check/reconcile' ? ['source', 'target'] : ['file']) {
      const sql = resolved(name);
      if (sql !== undefined && !coming.includes(sql)) problems.push(...problem(name, fileProblem(sql, dir)));
    }
    const venv = resolved('venv');
    if (venv !== undefined) problems.push(...problem('venv', venvProblem(venv)));
    else if (needsPython && venvProblem(defaultVenv) !== null) {
      const message = `needs the default virtual environment: ${venvProblem(defaultVenv)}; make it, or name one as venv`;
      problems.push({ path: [...place, 'uses'], message });
    }
    return problems;
  });
  return [...ofFreshness, ...ofWorks, ...ofLimits];
}

/** Limits are held by what dbt's jobs say of themselves: without labels none of them would be seen. */
function labelProblem(
  { uses, with: given, limits }: PipelineFile['steps'][number],
  place: DocumentProblem['path'],
  file: PipelineFile,
  dir: string,
): DocumentProblem[] {
  const ofJobs = limits?.bytes_billed ?? limits?.slot_hours ?? limits?.cost_usd;
  if (uses !== 'dbt/build' || ofJobs === undefined) return [];
  const project = path.resolve(dir, withFixedVars(given.project, file), 'dbt_project.yml');
  if (!existsSync(project) || readFileSync(project, 'utf8').includes('DAYFILL_LABELS')) return [];
  const message = `${shown(project)} gives dbt's jobs no labels to be seen by; add a query-comment with DAYFILL_LABELS`;
  return [{ path: [...place, 'limits'], message, onKey: true }];
}

/** What names files and folders refers to fixed vars only, which checks.ts has made sure of. */
function withFixedVars(text: string, file: PipelineFile): string {
  return referencesIn(text).reduce((result, name) => {
    const value = file.vars[name.slice('vars.'.length)]!;
    return result.replace(`\${${name}}`, () => String(typeof value === 'object' ? value.default : value));
  }, text);
}

function folderProblem(folder: string): string | null {
  return isFolder(folder) ? null : `there is no folder ${shown(folder)}`;
}

function fileProblem(file: string, dir: string): string | null {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return `there is no file ${shown(file)}`;
  // A link may lead out of the folder though its name does not.
  const inside = realpathSync(file).startsWith(realpathSync(dir) + path.sep);
  return inside ? null : `expected a file inside the pipeline's folder; ${shown(file)} leads out of it`;
}

function venvProblem(venv: string): string | null {
  return existsSync(path.join(venv, 'bin', 'python'))
    ? null
    : `there is no virtual environment at ${shown(venv)} (no bin/python)`;
}

/** A path as a person would type it from here. */
export function shown(file: string): string {
  const relative = path.relative(process.cwd(), file);
  return relative === '' || relative.startsWith('..') ? file : relative;
}
