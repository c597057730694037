import { Command } from 'commander';
import { checkDue, resolveDue } from '../client/due.js';
import { addToBackfill, checkBackfill } from '../client/start.js';
import { dueRequest, keyList, printJson, type Selection, selection, withDayfill } from './options.js';

interface AddOptions extends Selection {
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
    .option('--missing', 'partitions that are over (by UTC) and not done; --from and --to narrow it')
    .option('--stale', 'partitions that are done, but whose source changed since; --from and --to narrow it')
    .option('--json', 'print one JSON document: {"pipeline","added":[…],"skipped":[…]}')
    .addHelpText('after', '\nExample:\n  dayfill add talbots --from 2025-07-21 --to 2025-07-25')
    .action((pipeline: string, options: AddOptions) =>
      withDayfill(
        async (dayfill) => {
          const request = dueRequest(options);
          const asked = request === null ? selection(options) : await resolveDue(dayfill, pipeline, request);
          const receipt = asked === null ? { added: [], skipped: [] } : await addToBackfill(dayfill, pipeline, asked);
          if (options.json) return printJson({ pipeline, ...receipt });
          for (const { partition, reason } of receipt.skipped) console.log(`${partition} was not added: ${reason}`);
          for (const partition of receipt.added) console.log(`${partition} added`);
          if (receipt.added.length === 0) console.log('Nothing was added.');
        },
        (files) => {
          const request = dueRequest(options);
          const asked = request === null ? selection(options) : checkDue(files, pipeline, request);
          checkBackfill(files, { pipeline, ...asked });
        },
      ),
    );
}
