import { RESERVED_PIPELINE_NAMES } from '../contracts/ids.js';
import type { Json } from '../contracts/step.js';
import { calendarOf } from './calendar-text.js';
import { PartitionError } from './errors.js';
import type { DocumentProblem } from './messages.js';
import { isDate, parseDuration } from './scalars.js';
import type { PipelineFile } from './schema.js';
import { FIXED_WITH, OWN_PLACES } from './step-kinds.js';
import { referenceProblem, referencesIn, textsIn } from './template.js';

type Path = (string | number)[];

/** A step, or a step of a remedy, with its place in the document. */
export interface PlacedWork {
  path: Path;
  work: Pick<PipelineFile['steps'][number], 'uses' | 'with'>;
}

/** Every step of a file, of its remedies, and of what follows a fix or a crossed limit. */
export function worksOf(file: PipelineFile): PlacedWork[] {
  return file.steps.flatMap((step, index) => [
    { path: ['steps', index], work: step },
    ...step.remedies.flatMap((remedy, r) =>
      remedy.run.map((work, w) => ({ path: ['steps', index, 'remedies', r, 'run', w], work })),
    ),
    ...step.after_fix.map((work, w) => ({ path: ['steps', index, 'after_fix', w], work })),
    ...step.cleanup.map((work, w) => ({ path: ['steps', index, 'cleanup', w], work })),
  ]);
}

/** What is wrong with a file of the right shape: names that do not belong together, references to what is not there. */
export function checkFile(file: PipelineFile, folder: string): DocumentProblem[] {
  return [
    ...nameProblems(file, folder),
    ...orderProblems(file),
    ...catchUpProblems(file),
    ...smokeProblems(file),
    ...verifyProblems(file),
    ...varProblems(file),
    ...referenceProblems(file),
    ...file.steps.flatMap((step, index) => limitProblems(step, ['steps', index], file)),
  ];
}

function nameProblems(file: PipelineFile, folder: string): DocumentProblem[] {
  const problems: DocumentProblem[] = [];
  if (RESERVED_PIPELINE_NAMES.includes(file.pipeline)) {
    problems.push({ path: ['pipeline'], message: `${JSON.stringify(file.pipeline)} is reserved; choose another name` });
  } else if (file.pipeline !== folder) {
    const message = `expected the name of its folder, ${JSON.stringify(folder)}, found ${JSON.stringify(file.pipeline)}`;
    problems.push({ path: ['pipeline'], message });
  }
  problems.push(...duplicates(file.steps, ['steps'], 'step'));
  for (const [index, step] of file.steps.entries()) {
    problems.push(...duplicates(step.remedies, ['steps', index, 'remedies'], 'remedy'));
  }
  return problems;
}

function duplicates(items: { id: string }[], path: Path, what: string): DocumentProblem[] {
  return items.flatMap(({ id }, index) =>
    items.findIndex((item) => item.id === id) === index
      ? []
      : [
          {
            path: [...path, index, 'id'],
            message: `there is already a ${what} ${JSON.stringify(id)}; ids must differ`,
          },
        ],
  );
}

function orderProblems(file: PipelineFile): DocumentProblem[] {
  const problems: DocumentProblem[] = [];
  const { start, end } = file.partition;
  if (isDate(start) && end !== undefined && end < start) {
    problems.push({ path: ['partition', 'end'], message: `expected ${start} or later, since that is the start` });
  } else {
    problems.push(...calendarProblems(file));
  }
  if (!file.parallel_safe && file.concurrency > 1) {
    problems.push({ path: ['concurrency'], message: 'expected 1, unless the file says parallel_safe: true' });
  }
  if (!file.parallel_safe && file.on_failure === 'park') {
    problems.push({ path: ['on_failure'], message: 'park needs parallel_safe: true; expected wait or stop' });
  }
  return problems;
}

function calendarProblems({ partition, vars }: PipelineFile): DocumentProblem[] {
  const { every, start, end = null } = partition;
  const unknown = Object.entries(partition).flatMap(([name, text = '']) =>
    referencesIn(text).flatMap((reference) => {
      const message = referenceProblem(reference, vars);
      return message === null ? [] : [{ path: ['partition', name], message }];
    }),
  );
  if (unknown.length > 0) return unknown;
  try {
    calendarOf({ every, start, end }, defaultsOf(vars));
    return [];
  } catch (error) {
    if (!(error instanceof PartitionError)) throw error;
    return [{ path: ['partition'], message: error.message.replace(/\.$/, '') }];
  }
}

function defaultsOf(vars: PipelineFile['vars']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(vars).map(([name, value]) => [name, String(typeof value === 'object' ? value.default : value)]),
  );
}

/** A trial run is a run like any other with other vars, so it may change what a start may change. */
function smokeProblems({ smoke, vars, partition }: PipelineFile): DocumentProblem[] {
  if (smoke === undefined) return [];
  const problems = Object.entries(smoke.vars).flatMap(([name, value]) => {
    const declared = Object.hasOwn(vars, name) ? vars[name] : undefined;
    const message =
      typeof declared !== 'object' || !declared.overridable
        ? 'expected a var that is overridable'
        : declared.pattern !== undefined && !new RegExp(`^(?:${declared.pattern})$`).test(String(value))
          ? `expected a value that matches the pattern ${declared.pattern}`
          : null;
    return message === null ? [] : [{ path: ['smoke', 'vars', name], message }];
  });
  if (problems.length === 0 && partition.end === undefined) {
    problems.push({ path: ['smoke'], message: 'needs a calendar that ends: partition.end' });
  }
  return problems;
}

function verifyProblems({ verify, vars }: PipelineFile): DocumentProblem[] {
  if (verify === undefined) return [];
  return [...textsIn(verify as unknown as Json)].flatMap(({ path, text }) =>
    referencesIn(text)
      .filter((name) => name !== 'folder' || path[0] !== 'run')
      .flatMap((name) => {
        const message = name.startsWith('vars.')
          ? referenceProblem(name, vars)
          : `unknown \${${name}}; expected vars.<name>, or folder in run`;
        return message === null ? [] : [{ path: ['verify', ...path], message }];
      }),
  );
}

function catchUpProblems({ critical, decide_within, freshness, vars }: PipelineFile): DocumentProblem[] {
  const problems: DocumentProblem[] = [];
  if (!critical && decide_within === undefined) {
    const message = 'false needs decide_within, whose time says when a day that nobody decided on is skipped';
    problems.push({ path: ['critical'], message });
  }
  if (freshness !== undefined && freshness.project === undefined && vars.project_id === undefined) {
    problems.push({ path: ['freshness'], message: 'needs a project, or the var project_id, to run in' });
  }
  return problems;
}

function varProblems(file: PipelineFile): DocumentProblem[] {
  return Object.entries(file.vars).flatMap(([name, value]) => {
    const { default: plain, pattern } = typeof value === 'object' ? value : { default: value, pattern: undefined };
    const path = typeof value === 'object' ? ['vars', name, 'default'] : ['vars', name];
    if (String(plain).includes('${')) return [{ path, message: 'a var is plain text; ${…} is for the with of steps' }];
    if (pattern !== undefined && !new RegExp(`^(?:${pattern})$`).test(String(plain))) {
      return [{ path, message: `expected a value that matches the pattern ${pattern}` }];
    }
    return [];
  });
}

function referenceProblems(file: PipelineFile): DocumentProblem[] {
  return worksOf(file).flatMap(({ path, work }) =>
    [...textsIn(work.with as Json)].flatMap(({ path: inside, text }) => {
      const names = referencesIn(text);
      const fixed = FIXED_WITH[work.uses].some((name) => name === inside.join('.') || name === inside[0]);
      const own = OWN_PLACES[work.uses]?.includes(String(inside[0])) === true;
      const message =
        (text === '' && work.uses === 'command' && inside.join('.') === 'run.0' ? 'expected some text' : null) ??
        names.map((name) => referenceProblem(name, file.vars)).find((problem) => problem !== null) ??
        (fixed ? fixedProblem(names, file) : own ? fixedProblem(names.filter(isNotOwn), file) : null) ??
        (file.parallel_safe ? stateProblem(names) : null);
      return message === null ? [] : [{ path: [...path, 'with', ...inside], message }];
    }),
  );
}

/** The names of a run itself differ from run to run, but cannot be chosen. */
function isNotOwn(name: string): boolean {
  return !['pipeline', 'partition', 'partition.start', 'partition.end'].includes(name);
}

function fixedProblem(names: string[], file: PipelineFile): string | null {
  const loose = names.find((name) => {
    const value = name.startsWith('vars.') ? file.vars[name.slice('vars.'.length)] : undefined;
    return value === undefined || (typeof value === 'object' && value.overridable);
  });
  return loose === undefined
    ? null
    : `\${${loose}} cannot say what is run or where; expected plain text, or a var that is not overridable`;
}

function stateProblem(names: string[]): string | null {
  const state = names.find((name) => name.startsWith('previous.'));
  return state === undefined
    ? null
    : `\${${state}} needs the partition before to be done first, which parallel_safe: true does not promise`;
}

/** Limits that could not be held: what no one sees, or what another bound ends first. */
function limitProblems(step: PipelineFile['steps'][number], path: Path, file: PipelineFile): DocumentProblem[] {
  const { limits, cleanup, timeout } = step;
  if (limits === undefined) {
    const message = 'cleanup runs when a limit is crossed, and the step has no limits';
    return cleanup.length === 0 ? [] : [{ path: [...path, 'cleanup'], message, onKey: true }];
  }
  const problems: DocumentProblem[] = [];
  const { runtime, on_limit: _, ...ofJobs } = limits;
  if (runtime !== undefined && parseDuration(runtime)! >= parseDuration(timeout)!) {
    const message = `expected less than the timeout of ${timeout}, which stops the step first`;
    problems.push({ path: [...path, 'limits', 'runtime'], message });
  }
  const [first] = Object.keys(ofJobs);
  if (first !== undefined && file.vars.project_id === undefined) {
    const message = 'needs the var project_id: BigQuery jobs are looked for in that project';
    problems.push({ path: [...path, 'limits', first], message, onKey: true });
  }
  for (const [index, table] of (limits.temp_tables ?? []).entries()) {
    const place = [...path, 'limits', 'temp_tables', index];
    if (table.dataset === undefined && file.vars.dataset === undefined) {
      problems.push({ path: place, message: 'needs the dataset of the tables, or the var dataset' });
    }
    for (const { path: inside, text } of textsIn(table as Json)) {
      for (const name of referencesIn(text)) {
        const message = name.startsWith('previous.')
          ? 'what the partition before handed on is no part of limits'
          : referenceProblem(name, file.vars);
        if (message !== null) problems.push({ path: [...place, ...inside], message });
      }
    }
  }
  return problems;
}
