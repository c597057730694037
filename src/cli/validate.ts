import { Command } from 'commander';
import { loadConfig } from '../config.js';
import { PipelineError, type PipelineProblem, problemLine } from '../pipeline/errors.js';
import { listPipelines, loadPipeline } from '../pipeline/load.js';

interface Verdict {
  pipeline: string;
  problems: readonly PipelineProblem[];
}

/** `dayfill validate [pipeline] [--json]`: checks one pipeline file, or all of them; exit code 1 when one has problems. */
export function validateCommand(): Command {
  return new Command('validate')
    .description('check a pipeline file and everything it refers to, or all of them')
    .argument('[pipeline]', 'name of the pipeline; all without it')
    .option('--json', 'print one JSON document: {"pipelines":[{"pipeline","problems":[…]}]}')
    .addHelpText('after', '\nExamples:\n  dayfill validate\n  dayfill validate talbots --json')
    .action((pipeline: string | undefined, options: { json?: true }) => {
      const config = loadConfig();
      const names = pipeline === undefined ? listPipelines(config.pipelinesDir) : [pipeline];
      const verdicts = names.map((name) => verdictOn(name, config.pipelinesDir, config.venv));
      if (options.json) console.log(JSON.stringify({ pipelines: verdicts }, null, 2));
      else for (const line of verdicts.flatMap(lines)) console.log(line);
      if (verdicts.some((verdict) => verdict.problems.length > 0)) process.exitCode = 1;
    });
}

function verdictOn(pipeline: string, pipelinesDir: string, defaultVenv: string): Verdict {
  try {
    loadPipeline(pipelinesDir, pipeline, { defaultVenv });
    return { pipeline, problems: [] };
  } catch (error) {
    if (error instanceof PipelineError) return { pipeline, problems: error.problems };
    throw error;
  }
}

function lines({ pipeline, problems }: Verdict): string[] {
  return problems.length === 0 ? [`ok ${pipeline}`] : problems.map(problemLine);
}
