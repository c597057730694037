import { Command } from 'commander';
import { openClearLedger } from '../client/open.js';
import { openPipelines, type PipelineFiles } from '../client/pipelines.js';
import { saveRemedy } from '../client/save-remedy.js';
import { type RemedyTest, testRemedies } from '../client/try-remedies.js';
import { loadConfig } from '../config.js';
import { printJson } from './options.js';
import { sentence, table } from './tables.js';

/** More days than these are counted. */
const DAYS_SHOWN = 5;

/** `dayfill remedy`: what healed a day becomes a rule of the pipeline file. */
export function remedyCommand(): Command {
  return new Command('remedy')
    .description('make remedies of decisions that healed, and try remedies on past failures')
    .addCommand(saveCommand())
    .addCommand(testCommand())
    .addHelpText(
      'after',
      '\nExamples:\n  dayfill remedy save talbots 2025-07-22 --dry-run\n  dayfill remedy test talbots',
    );
}

function saveCommand(): Command {
  return new Command('save')
    .description('make a remedy of the SQL that healed a partition: in pipeline.yaml, its SQL in fixes/')
    .argument('<pipeline>', 'name of the pipeline')
    .argument('<partition>', 'partition that was healed, such as 2025-07-18')
    .option('--id <id>', 'name of the remedy (default: that of the failing test)')
    .option('--dry-run', 'show the diff and write nothing')
    .option('--json', 'print one JSON document: {"pipeline","remedy","file","diff","written"}')
    .addHelpText(
      'after',
      `
Writes into the working tree only: look at it with "git diff", undo it with "git checkout".

Examples:
  dayfill remedy save talbots 2025-07-18 --dry-run
  dayfill remedy save talbots 2025-07-18 --id quarantine-unknown-currency`,
    )
    .action(async (pipeline: string, partition: string, options: { id?: string; dryRun?: true; json?: true }) => {
      const [files, ledger] = open();
      const { id, dryRun = false } = options;
      const saved = await saveRemedy(files, ledger, pipeline, partition, { id, dryRun });
      if (options.json) return printJson(saved);
      process.stdout.write(saved.diff);
      console.error(`${saved.written ? 'Saved' : 'Not saved (--dry-run)'}: remedy ${saved.remedy} with ${saved.file}.`);
    });
}

function testCommand(): Command {
  return new Command('test')
    .description('which past failures in the ledger each remedy would have matched, and which none would')
    .argument('<pipeline>', 'name of the pipeline')
    .option('--json', 'print one JSON document: {"pipeline","remedies":[…],"unmatched":[…]}')
    .addHelpText('after', '\nExample:\n  dayfill remedy test talbots')
    .action(async (pipeline: string, options: { json?: true }) => {
      const [files, ledger] = open();
      const result = await testRemedies(files, ledger, pipeline);
      if (options.json) return printJson(result);
      for (const line of lines(result)) console.log(line);
    });
}

/** Files and ledger only: Temporal need not be up. */
function open(): [PipelineFiles, ReturnType<typeof openClearLedger>] {
  const config = loadConfig();
  return [openPipelines(config), openClearLedger(config)];
}

function lines({ pipeline, remedies, unmatched }: RemedyTest): string[] {
  const matched = remedies.map(({ step, remedy, matched }) => [
    step,
    remedy,
    String(matched.length),
    days(matched.map(({ partition }) => partition)),
  ]);
  const missed = unmatched.map(({ fingerprint, step, tests, message, partitions }) => [
    fingerprint,
    step,
    sentence(tests.length > 0 ? tests.join(', ') : message, 60),
    days(partitions),
  ]);
  return [
    matched.length === 0 ? `${pipeline} has no remedies.` : table(['step', 'remedy', 'matched', 'days'], matched),
    missed.length === 0 ? 'Every failure in the ledger has a remedy.' : 'Failures without a remedy:',
    ...(missed.length === 0 ? [] : [table(['fingerprint', 'step', 'failure', 'days'], missed)]),
  ];
}

function days(partitions: string[]): string {
  const all = [...new Set(partitions)].sort();
  const more = all.length - DAYS_SHOWN;
  return all.slice(0, DAYS_SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
