import { existsSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Json } from '../contracts/step.js';
import { worksOf } from './checks.js';
import type { DocumentProblem } from './messages.js';
import type { PipelineFile } from './schema.js';
import { referencesIn } from './template.js';

/** Which steps need Python without naming an environment. */
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
  return worksOf(file).flatMap(({ path: place, work }) => {
    const given = work.with as Record<string, Json>;
    const resolved = (name: string): string | undefined => {
      const value = given[name];
      return typeof value === 'string' ? path.resolve(dir, withFixedVars(value, file)) : undefined;
    };
    const problem = (name: string, message: string | null): DocumentProblem[] =>
      message === null ? [] : [{ path: [...place, 'with', name], message }];

    const problems: DocumentProblem[] = [];
    for (const name of ['cwd', 'profiles_dir', ...(work.uses === 'bigquery/query' ? [] : ['project'])]) {
      const folder = resolved(name);
      if (folder !== undefined) problems.push(...problem(name, folderProblem(folder)));
    }
    const fix = resolved('file');
    if (fix !== undefined && !coming.includes(fix)) problems.push(...problem('file', fixProblem(fix, dir)));
    const venv = resolved('venv');
    if (venv !== undefined) problems.push(...problem('venv', venvProblem(venv)));
    else if (PYTHON_KINDS.includes(work.uses) && venvProblem(defaultVenv) !== null) {
      const message = `needs the default virtual environment: ${venvProblem(defaultVenv)}; make it, or name one as venv`;
      problems.push({ path: [...place, 'uses'], message });
    }
    return problems;
  });
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

function fixProblem(file: string, dir: string): string | null {
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

export function isFolder(folder: string): boolean {
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** A path as a person would type it from here. */
export function shown(file: string): string {
  const relative = path.relative(process.cwd(), file);
  return relative === '' || relative.startsWith('..') ? file : relative;
}
