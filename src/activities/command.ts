import { rmSync } from 'node:fs';
import path from 'node:path';
import { RESULT_VARIABLE, takeResult } from './command-result.js';
import { type StepContext, StepError, type StepOutput, stepActivity } from './step-activity.js';
import { runStepProcess } from './step-process.js';

/** Patterns look at this much of a line. */
const LONGEST_MATCHED = 10_000;

/**
 * Runs a program, unless a var has left its name empty; its exit code and the patterns of the step say whether it succeeded. What it leaves in the file that
 * `DAYFILL_RESULT` names are the step's counts and state.
 */
export const command = stepActivity('command', async (context): Promise<StepOutput> => {
  const { run, success, failure } = context.with;
  if (run[0] === '') {
    context.log.write('# nothing to run: the var that names the program is empty');
    return {};
  }
  const program = path.basename(run[0]);
  const resultFile = context.log.absolutePath.replace(/\.log$/, '.result.json');
  const output = new OutputWatch(success, failure);
  const onLine = (line: string) => output.see(line);
  try {
    const { exitCode, killedBy } = await runStepProcess(context, {
      argv: run,
      cwd: context.cwd,
      env: { [RESULT_VARIABLE]: resultFile },
      onStdoutLine: onLine,
      onStderrLine: onLine,
    });
    const problem = output.problem() ?? exitProblem(context, exitCode, killedBy);
    if (problem === null) return await takeResult(resultFile, program);
    const said = output.last === '' ? '' : ` Its last line: ${output.last}`;
    throw new StepError('exit_code', `${program} ${problem}.${said}`, { exitCode });
  } finally {
    rmSync(resultFile, { force: true });
  }
});

function exitProblem(
  { with: { success_codes: successCodes } }: StepContext<'command'>,
  exitCode: number | null,
  killedBy: string | null,
): string | null {
  if (exitCode === null) return `was ended by ${killedBy}`;
  return successCodes.includes(exitCode) ? null : `ended with exit code ${exitCode}`;
}

/** Looks through the output for what the step calls success and failure. */
class OutputWatch {
  /** The last line that is not blank. */
  last = '';
  private readonly success: RegExp | null;
  private readonly failure: RegExp | null;
  private succeeded = false;
  private failedBy: string | null = null;

  constructor(success: string | undefined, failure: string | undefined) {
    this.success = success === undefined ? null : new RegExp(success);
    this.failure = failure === undefined ? null : new RegExp(failure);
  }

  /** Returns the line, for the log. */
  see(line: string): string {
    const start = line.slice(0, LONGEST_MATCHED);
    if (line.trim() !== '') this.last = start.trim();
    if (this.success?.test(start)) this.succeeded = true;
    if (this.failure?.test(start)) this.failedBy ??= start.trim();
    return line;
  }

  problem(): string | null {
    if (this.failedBy !== null) return `printed what the step calls a failure: ${this.failedBy}`;
    if (this.success !== null && !this.succeeded)
      return `did not print what the step calls success, /${this.success.source}/`;
    return null;
  }
}
