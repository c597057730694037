import { Command } from 'commander';
import { checkKnown } from '../client/pipelines.js';
import { pauseBackfill, resumeBackfill } from '../client/start.js';
import { dollars, withDayfill } from './options.js';

/** `dayfill pause`: no other partition starts until `resume`. */
export function pauseCommand(): Command {
  return new Command('pause')
    .description('start no other partition of the running backfill; the one under way goes on')
    .argument('<pipeline>', 'name of the pipeline')
    .addHelpText('after', '\nExample:\n  dayfill pause talbots')
    .action((pipeline: string) =>
      withDayfill(
        async (dayfill) => {
          await pauseBackfill(dayfill, pipeline);
          console.log(`${pipeline} pauses after the partition under way; go on with: dayfill resume ${pipeline}`);
        },
        (files) => checkKnown(files, pipeline),
      ),
    );
}

/** `dayfill resume` */
export function resumeCommand(): Command {
  return new Command('resume')
    .description('go on after pause, or once the budget is spent')
    .argument('<pipeline>', 'name of the pipeline')
    .option('--budget-usd <dollars>', 'all that the backfill may cost; without it as much again as budget_usd', dollars)
    .addHelpText('after', '\nExamples:\n  dayfill resume talbots\n  dayfill resume orders --budget-usd 20')
    .action((pipeline: string, { budgetUsd }: { budgetUsd?: number }) =>
      withDayfill(
        async (dayfill) => {
          await resumeBackfill(dayfill, pipeline, budgetUsd);
          console.log(`${pipeline} goes on.`);
        },
        (files) => checkKnown(files, pipeline),
      ),
    );
}
