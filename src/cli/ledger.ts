import { Command } from 'commander';
import type { LedgerRow } from '../contracts/ledger.js';
import { partitionsOfRange } from '../pipeline/calendar.js';
import { printJson, withDayfill } from './options.js';

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
      withDayfill(async (dayfill) => {
        const definition = dayfill.pipeline(pipeline.split('~')[0]!);
        const { start } = definition.calendar;
        if (options.from !== undefined || options.to !== undefined) {
          partitionsOfRange(
            { ...definition, calendar: { everyDays: 1, start, end: null } },
            options.from ?? start,
            options.to ?? options.from ?? start,
          );
        }
        const rows = await dayfill.ledger.rows(pipeline, options.from, options.to);
        if (options.json) printJson({ pipeline, rows });
        else for (const row of rows) console.log(line(row));
      }),
    );
}

function line({ recordedAt, partition, status, steps, decisions }: LedgerRow): string {
  const healed = steps.flatMap((step) => step.remedies);
  const people = decisions.map(({ action, decidedBy }) => `${action} by ${decidedBy ?? 'someone'}`);
  return [recordedAt.slice(0, 19), partition, status, ...healed, ...people].join('  ');
}
