import { Command, Option } from 'commander';
import { UsageError } from '../client/errors.js';
import { markPartitions } from '../client/mark.js';
import { checkBackfill } from '../client/start.js';
import { withDayfill } from './options.js';

interface MarkOptions {
  from: string;
  to: string;
  as: 'succeeded' | 'skipped';
  reason: string;
}

/** `dayfill mark`: records what was done before dayfill came, so that it is not run again. */
export function markCommand(): Command {
  return new Command('mark')
    .description('record partitions as done without running them')
    .argument('<pipeline>', 'name of the pipeline')
    .requiredOption('--from <date>', 'first day, inclusive')
    .requiredOption('--to <date>', 'last day, inclusive')
    .addOption(new Option('--as <status>', 'what they are').choices(['succeeded', 'skipped']).makeOptionMandatory())
    .requiredOption('--reason <text>', 'why, for the ledger')
    .addHelpText(
      'after',
      '\nExample:\n  dayfill mark talbots --from 2025-07-01 --to 2025-07-15 --as succeeded --reason "loaded by hand"',
    )
    .action((pipeline: string, { from, to, as, reason }: MarkOptions) =>
      withDayfill(
        async (dayfill) => {
          const keys = await markPartitions(dayfill, pipeline, { from, to }, as, reason);
          console.log(keys.length === 1 ? `1 partition marked ${as}.` : `${keys.length} partitions marked ${as}.`);
        },
        (files) => {
          checkBackfill(files, { pipeline, from, to });
          if (reason.trim() === '') throw new UsageError('Say why in --reason: the ledger keeps it.');
        },
      ),
    );
}
