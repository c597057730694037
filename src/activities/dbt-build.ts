import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../config.js';
import { shortHash } from '../contracts/ids.js';
import { dbtArguments } from '../pipeline/dbt-arguments.js';
import type { RunResult } from '../runners/runner.js';
import { keepOnly, makeAttemptDir } from './attempt-dir.js';
import { DbtEvents } from './classify/dbt-events.js';
import { dbtFailure, dbtOutput, type RunResults, runResultsSchema } from './classify/dbt-results.js';
import { kindOfText } from './classify/error-text.js';
import { FAILING_TESTS, keepEvidence } from './classify/failing-tests.js';
import { type StepContext, type StepDeps, StepError, type StepOutput, stepActivity } from './step-activity.js';
import type { StepSetting } from './step-environment.js';
import { runStepProcess } from './step-process.js';

const PARTIAL_PARSE = 'partial_parse.msgpack';
/** Events for this worker on stdout, and text for people in dbt.log. */
const LOGS = ['--log-format', 'json', '--log-format-file', 'debug', '--no-use-colors'];
const EVIDENCE = ['run_results.json'];
const EVIDENCE_OF_FAILURE = ['run_results.json', 'compiled', 'run', 'dbt.log', FAILING_TESTS];

type BuildContext = StepContext<'dbt/build'>;
type DbtSetting = StepSetting<'dbt/build'>;

/** Runs `dbt build`. What happened is read from the run_results.json of this very invocation. */
export const dbtBuild = stepActivity('dbt/build', async (context): Promise<StepOutput> => {
  const project = path.resolve(context.pipelineDir, context.with.project);
  if (!existsSync(path.join(project, 'dbt_project.yml'))) {
    throw new StepError('missing_executable', `There is no dbt project in ${project}: it has no dbt_project.yml.`);
  }
  const target = await makeAttemptDir(context);
  const parsed = await ParsedProject.open(context.deps.config, context, project);
  let evidence = EVIDENCE_OF_FAILURE;
  try {
    await parsed.restore(target);
    const output = await build(context, project, target);
    await parsed.save(target);
    evidence = EVIDENCE;
    return output;
  } finally {
    await keepOnly(target, evidence);
  }
});

async function build(context: BuildContext, project: string, target: string): Promise<StepOutput> {
  const events = new DbtEvents(context.heartbeat);
  let lastError = '';
  const ended = await runStepProcess(context, {
    ...processRequest(context, project, target),
    onStdoutLine: (line) => events.take(line),
    onStderrLine: (line) => {
      if (line.trim() !== '') lastError = line.trim();
      return line;
    },
  });
  const results = await readResults(target);
  if (results === null || results.metadata.invocation_id !== events.invocationId) {
    throw withoutResults(ended, events.errors, lastError);
  }
  const failure = dbtFailure(results, ended.exitCode);
  if (failure !== null) {
    failure.evidence = await keepEvidence(context.deps.config.stateDir, target, failure.tests);
    throw failure;
  }
  if (ended.exitCode !== 0) throw withoutResults(ended, events.errors, lastError);
  return dbtOutput(results);
}

/**
 * Has the process that will build the project start and parse it, as long as there is none; not for steps that the command
 * line does. What is wrong is left for the build to tell.
 */
export async function prepareDbtBuild({ config, runner }: StepDeps, setting: DbtSetting): Promise<void> {
  const project = path.resolve(setting.pipelineDir, setting.with.project);
  const comingRun = (target: string) => {
    const { warm, cwd, env } = processRequest(setting, project, target);
    return warm && { warm, cwd, env: { ...setting.env, ...env } };
  };
  const run = comingRun('');
  if (run === undefined || runner.hasProcessFor(run)) return;
  const parsed = await ParsedProject.open(config, setting, project);
  const target = await parsed.makeFolder();
  try {
    await parsed.restore(target);
    await runner.prepare(comingRun(target)!);
    await parsed.save(target);
  } finally {
    await rm(target, { recursive: true, force: true });
  }
}

function processRequest(setting: DbtSetting, project: string, target: string) {
  const { venv } = setting;
  const { options, output, selection } = buildArguments(setting, project, target);
  return {
    argv: [path.join(venv, 'bin', 'dbt'), 'build', ...options, ...output, ...selection],
    ...(setting.with.runner !== 'cli' && {
      warm: {
        python: path.join(venv, 'bin', 'python'),
        kind: 'dbt' as const,
        of: [], // dbt keeps nothing of one project in the way of another
        ask: { options, output, selection },
      },
    }),
    cwd: setting.with.cwd === undefined ? project : setting.cwd,
    env: { DBT_TARGET_PATH: target, DBT_LOG_PATH: target },
  };
}

/** Those that parsing the project depends on, those that say where dbt writes, and those that say what is built. */
function buildArguments({ pipelineDir, with: given }: DbtSetting, project: string, target: string) {
  const { options, selection } = dbtArguments(given, project, pipelineDir);
  return {
    options: [...LOGS, ...options, '--vars', JSON.stringify(given.vars ?? {})],
    output: ['--target-path', target, '--log-path', target],
    selection,
  };
}

async function readResults(target: string): Promise<RunResults | null> {
  try {
    return runResultsSchema.parse(JSON.parse(await readFile(path.join(target, 'run_results.json'), 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** dbt stopped before it built anything, or died. */
function withoutResults({ exitCode, killedBy }: RunResult, errors: string[], lastError: string): StepError {
  const said = errors.at(-1)?.replace(/^Encountered an error:\s*/, '') || lastError;
  if (killedBy !== null)
    return new StepError('step_error', `dbt was ended by ${killedBy} before it was done. ${said}`.trim());
  if (said === '')
    return new StepError('step_error', `dbt ended with exit code ${exitCode} and no result of its run.`, { exitCode });
  return new StepError(kindOfText(said), said, { exitCode });
}

/** What dbt has parsed of a project, kept from build to build, because parsing it all takes seconds. */
class ParsedProject {
  private constructor(private readonly file: string) {}

  static async open(
    { stateDir }: Config,
    { venv, with: { target, profiles_dir } }: DbtSetting,
    project: string,
  ): Promise<ParsedProject> {
    const directory = path.join(stateDir, 'runs-data', 'parsed');
    await mkdir(directory, { recursive: true });
    const name = shortHash(JSON.stringify([project, profiles_dir, target, venv]), 16);
    return new ParsedProject(path.join(directory, `${name}.msgpack`));
  }

  /** A folder for dbt to parse in, beside what is kept. */
  makeFolder(): Promise<string> {
    return mkdtemp(`${this.file}.`);
  }

  async restore(target: string): Promise<void> {
    if (existsSync(this.file)) await copyFile(this.file, path.join(target, PARTIAL_PARSE));
  }

  /** As a whole or not at all; a project can tell dbt not to keep it. */
  async save(target: string): Promise<void> {
    const parsed = path.join(target, PARTIAL_PARSE);
    if (!existsSync(parsed)) return;
    const fresh = `${this.file}.${path.basename(target)}`;
    await rename(parsed, fresh);
    await rename(fresh, this.file);
  }
}
