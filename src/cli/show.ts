import { Command } from 'commander';
import { partitionBounds } from '../client/pipelines.js';
import { partitionView } from '../client/status.js';
import { partitionJson } from './json.js';
import { printJson, sayWhetherWorkerAnswers, withDayfill } from './options.js';
import { partitionText } from './tables.js';

/** `dayfill show`: one partition, step by step. */
export function showCommand(): Command {
  return new Command('show')
    .description('one partition: its steps, remedies, failure, and how to answer it')
    .argument('<pipeline>', 'name of the pipeline')
    .argument('<partition>', 'partition key, e.g. 2025-07-18')
    .option(
      '--json',
      'print one JSON document: {"pipeline","partition","status","steps":[…],"proposal","advising","decidesAt","decisions":[…]}',
    )
    .addHelpText('after', '\nExample:\n  dayfill show talbots 2025-07-17')
    .action((pipeline: string, partition: string, options: { json?: true }) =>
      withDayfill(
        async (dayfill) => {
          const view = await partitionView(dayfill, pipeline, partition);
          sayWhetherWorkerAnswers(view);
          if (options.json) printJson(partitionJson(view));
          else console.log(partitionText(view));
        },
        (files) => void partitionBounds(files, pipeline, partition),
      ),
    );
}
