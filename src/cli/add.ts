import { Command } from 'commander';
import { addToBackfill, checkBackfill } from '../client/start.js';
import { keyList, printJson, selection, withDayfill } from './options.js';

interface AddOptions {
  from?: string;
  to?: string;
  partitions?: string[];
  json?: true;
}

/** `dayfill add`: more partitions for the running backfill. */
export function addCommand(): Command {
  return new Command('add')
    .description('add partitions to the running backfill, or start one with them')
    .argument('<pipeline>', 'name of the pipeline')
    .option('--from <date>', 'first day, inclusive')
    .option('--to <date>', 'last day, inclusive')
    .option('--partitions <keys>', 'partition keys, separated by commas', keyList)
    .option('--json', 'print one JSON document: {"pipeline","added":[…],"skipped":[…]}')
    .addHelpText('after', '\nExample:\n  dayfill add talbots --from 2025-07-21 --to 2025-07-25')
    .action((pipeline: string, options: AddOptions) =>
      withDayfill(
        async (dayfill) => {
          const receipt = await addToBackfill(dayfill, pipeline, selection(options));
          if (options.json) return printJson({ pipeline, ...receipt });
          for (const { partition, reason } of receipt.skipped) console.log(`${partition} was not added: ${reason}`);
          for (const partition of receipt.added) console.log(`${partition} added`);
        },
        (files) => checkBackfill(files, { pipeline, ...selection(options) }),
      ),
    );
}
