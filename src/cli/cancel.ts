import { Command, Option } from 'commander';
import { checkKnown } from '../client/pipelines.js';
import { cancelBackfill } from '../client/start.js';
import { withDayfill } from './options.js';

/** `dayfill cancel`: ends the running backfill, gently by default. */
export function cancelCommand(): Command {
  return new Command('cancel')
    .description('end the running backfill')
    .argument('<pipeline>', 'name of the pipeline')
    .addOption(new Option('--drain', 'after the partition under way (the default)').conflicts('now'))
    .option('--now', 'at once: the step under way is stopped')
    .addHelpText('after', '\nExamples:\n  dayfill cancel talbots\n  dayfill cancel talbots --now')
    .action((pipeline: string, options: { now?: true }) =>
      withDayfill(
        async (dayfill) => {
          await cancelBackfill(dayfill, pipeline, options.now ? 'now' : 'drain');
          console.log(`${pipeline} ends ${options.now ? 'now' : 'after the partition under way'}.`);
        },
        (files) => checkKnown(files, pipeline),
      ),
    );
}
