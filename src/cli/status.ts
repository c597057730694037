import { setTimeout } from 'node:timers/promises';
import { Command } from 'commander';
import type { Dayfill } from '../client/open.js';
import { checkKnown } from '../client/pipelines.js';
import { pipelineStatus } from '../client/status.js';
import { listPipelines } from '../pipeline/load.js';
import { statusJson } from './json.js';
import { printJson, sayWhetherWorkerAnswers, withDayfill } from './options.js';
import { countsLine, statusTable } from './tables.js';

const WATCH_MS = 1000;

/** `dayfill status`: the days of a pipeline, or a line per pipeline. */
export function statusCommand(): Command {
  return new Command('status')
    .description('how the partitions of a pipeline stand; all pipelines without a name')
    .argument('[pipeline]', 'name of the pipeline')
    .option('--watch', 'show it again as it changes, until nothing runs')
    .option('--json', 'print one JSON document: {"pipeline","state","total","counts","current","partitions":[…]}')
    .addHelpText(
      'after',
      '\nExamples:\n  dayfill status\n  dayfill status talbots --watch\n  dayfill status talbots --json',
    )
    .action((pipeline: string | undefined, options: { watch?: true; json?: true }) =>
      withDayfill(
        (dayfill) => (pipeline === undefined ? all(dayfill, options) : one(dayfill, pipeline, options)),
        (files) => {
          if (pipeline !== undefined) checkKnown(files, pipeline);
        },
      ),
    );
}

async function all(dayfill: Dayfill, options: { json?: true }): Promise<void> {
  const names = listPipelines(dayfill.config.pipelinesDir);
  const pipelines = await Promise.all(names.map((name) => pipelineStatus(dayfill, name)));
  sayWhetherWorkerAnswers({ workerAnswers: pipelines.every(({ workerAnswers }) => workerAnswers) });
  if (options.json) {
    const summaries = pipelines.map(statusJson).map(({ partitions: _partitions, ...summary }) => summary);
    return printJson({ pipelines: summaries });
  }
  for (const { pipeline, state, counts } of pipelines) console.log(`${pipeline}: ${state} (${countsLine(counts)})`);
}

async function one(dayfill: Dayfill, pipeline: string, options: { watch?: true; json?: true }): Promise<void> {
  let shown = '';
  let workerAnswered = true;
  for (;;) {
    const status = await pipelineStatus(dayfill, pipeline);
    if (workerAnswered !== status.workerAnswers) sayWhetherWorkerAnswers(status);
    workerAnswered = status.workerAnswers;
    const text = `${statusTable(status)}\n${pipeline} is ${status.state}: ${countsLine(status.counts)}`;
    if (!options.watch || status.state === 'idle') {
      if (options.json) printJson(statusJson(status));
      else if (text !== shown) console.log(text);
      return;
    }
    if (text !== shown && !options.json) console.log(process.stdout.isTTY ? `\x1b[2J\x1b[H${text}` : text);
    shown = text;
    await setTimeout(WATCH_MS);
  }
}
