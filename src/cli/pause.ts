import { Command } from 'commander';
import { checkKnown } from '../client/pipelines.js';
import { pauseBackfill, resumeBackfill } from '../client/start.js';
import { withDayfill } from './options.js';

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
    .description('go on after pause')
    .argument('<pipeline>', 'name of the pipeline')
    .addHelpText('after', '\nExample:\n  dayfill resume talbots')
    .action((pipeline: string) =>
      withDayfill(
        async (dayfill) => {
          await resumeBackfill(dayfill, pipeline);
          console.log(`${pipeline} goes on.`);
        },
        (files) => checkKnown(files, pipeline),
      ),
    );
}
