/** One thing wrong with a pipeline; `line` and `column` count from 1 and are null when the file itself cannot be read. */
export interface PipelineProblem {
  /** Path as a person would type it from the working directory. */
  file: string;
  line: number | null;
  column: number | null;
  /** Place in the document, e.g. `steps.0.uses`; empty for the document as a whole. */
  path: string;
  message: string;
}

/** A pipeline that cannot be used; the message is the first problem and how many more there are. */
export class PipelineError extends Error {
  override name = 'PipelineError';

  constructor(readonly problems: readonly [PipelineProblem, ...PipelineProblem[]]) {
    const more = problems.length - 1;
    super(problemLine(problems[0]) + (more === 0 ? '' : ` (and ${more} more ${more === 1 ? 'problem' : 'problems'})`));
  }
}

/** `file:line:column path: message`, without what is not known. */
export function problemLine(problem: PipelineProblem): string {
  const place = problem.line === null ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  return [place, problem.path === '' ? '' : ` ${problem.path}`, `: ${problem.message}`].join('');
}

/** What was asked of a sound pipeline does not fit it; the message is one sentence. */
export class PartitionError extends Error {
  override name = 'PartitionError';
}
