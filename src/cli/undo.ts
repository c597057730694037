import { Command } from 'commander';
import { partitionBounds } from '../client/pipelines.js';
import { undoLatestFix } from '../client/undo.js';
import { printJson, withDayfill } from './options.js';

/** `dayfill undo`: puts back what the last fix of a partition changed. */
export function undoCommand(): Command {
  return new Command('undo')
    .description('put back what the last fix of a partition changed')
    .argument('<pipeline>', 'name of the pipeline')
    .argument('<partition>', 'partition key, such as 2025-07-18')
    .option('--force', 'also when its rows have changed since: those changes are lost', false)
    .option('--json', 'print one JSON document: {"pipeline","partition","fix","step","sha256","tables":[…]}')
    .addHelpText(
      'after',
      '\nThe partition counts as failed then: the next run takes it again.\n\nExample:\n  dayfill undo talbots 2025-07-18',
    )
    .action((pipeline: string, partition: string, { force, json }: { force: boolean; json?: true }) =>
      withDayfill(
        async (dayfill) => {
          const undone = await undoLatestFix(dayfill, pipeline, partition, { force });
          if (json) return printJson(undone);
          console.log(`Undone: fix ${undone.fix} (${undone.step}) of ${partition}.`);
          for (const { table, rows } of undone.tables) console.log(`  ${table}: ${rows} changed rows put back`);
          console.log(`${partition} counts as failed: the next run takes it again.`);
        },
        (files) => partitionBounds(files, pipeline, partition),
      ),
    );
}
