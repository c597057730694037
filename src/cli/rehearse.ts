import { Command } from 'commander';
import { openPipelines } from '../client/pipelines.js';
import { rehearseFile } from '../client/rehearse.js';
import { loadConfig } from '../config.js';
import { printJson } from './options.js';
import { rehearsalText } from './rehearsal-text.js';

/** `dayfill rehearse`: what a fix would do, found out on copies. */
export function rehearseCommand(): Command {
  return new Command('rehearse')
    .description('say what a SQL file would change in a partition, without changing it')
    .argument('<pipeline>', 'name of the pipeline')
    .argument('<partition>', 'partition key, such as 2025-07-18')
    .argument('<file>', "SQL file, from the pipeline's folder or from here")
    .option('--json', 'print one JSON document: {"allowed","reason","statements":[…],"rows","sample":[…],"testPasses"}')
    .addHelpText(
      'after',
      '\nEnds with 0 when the fix is allowed and no failing test fails on its result.\n\nExample:\n  dayfill rehearse talbots 2025-07-18 fixes/dedupe.sql',
    )
    .action(async (pipeline: string, partition: string, file: string, { json }: { json?: true }) => {
      const rehearsal = await rehearseFile(openPipelines(loadConfig()), pipeline, partition, file);
      if (json) printJson(rehearsal);
      else console.log(rehearsalText(rehearsal));
      if (!rehearsal.allowed || rehearsal.testPasses === false) process.exitCode = 1;
    });
}
