import { Command } from 'commander';
import { checkKnown } from '../client/pipelines.js';
import type { LedgerRow } from '../contracts/ledger.js';
import { checkDays, printJson, withDayfill } from './options.js';

/** `dayfill ledger`: every row, oldest first within a partition. */
export function ledgerCommand(): Command {
  return new Command('ledger')
    .description('what happened to each partition, as the warehouse has it')
    .argument('<pipeline>', 'name of the pipeline')
    .option('--from <date>', 'first day, inclusive')
    .option('--to <date>', 'last day, inclusive')
    .option('--json', 'print one JSON document: {"pipeline","rows":[…]}')
    .addHelpText('after', '\nExample:\n  dayfill ledger talbots --from 2025-07-16 --to 2025-07-20 --json')
    .action((pipeline: string, options: { from?: string; to?: string; json?: true }) =>
      withDayfill(
        async (dayfill) => {
          const rows = await dayfill.ledger.rows(pipeline, options.from, options.to);
          if (options.json) return printJson({ pipeline, rows });
          for (const row of rows) console.log(line(row));
          if (rows.length === 0) console.error(`The ledger has no rows of ${pipeline} for these days.`);
        },
        (files) => {
          checkKnown(files, pipeline);
          checkDays(options);
        },
      ),
    );
}

function line({ recordedAt, partition, status, steps, decisions }: LedgerRow): string {
  const healed = steps.flatMap((step) => step.remedies);
  const people = decisions.map(({ action, decidedBy }) => `${action} by ${decidedBy ?? 'someone'}`);
  return [recordedAt.slice(0, 19), partition, status, ...healed, ...people].join('  ');
}
