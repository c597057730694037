import { userInfo } from 'node:os';
import { Command, Option } from 'commander';
import { decide } from '../client/decide.js';
import { UsageError } from '../client/errors.js';
import { partitionBounds } from '../client/pipelines.js';
import type { Decision, DecisionAction } from '../contracts/decision.js';
import { printJson, withDayfill } from './options.js';

const ACTIONS: Record<string, DecisionAction> = {
  retry: 'retry',
  'skip-step': 'skipStep',
  skip: 'skip',
  abort: 'abort',
};
const NOT_YET = ['fix', 'approve', 'reject'];

interface ResolveOptions {
  note?: string;
  by?: string;
  failure?: string;
  json?: true;
}

/** `dayfill resolve`: answers the failure that a partition waits with. */
export function resolveCommand(): Command {
  return new Command('resolve')
    .description('answer the failure that a partition waits with')
    .argument('<pipeline>', 'name of the pipeline')
    .argument('<partition>', 'partition key, e.g. 2025-07-18')
    .argument('<action>', 'retry, skip-step, skip or abort')
    .argument('[file or hash]', 'of fix and approve, which are not there yet')
    .option('--note <text>', 'why, for the ledger')
    .addOption(new Option('--by <who>', 'who decides, for the ledger').default(userInfo().username, 'you'))
    .option('--failure <id>', 'the failure that you answer; refused when another one waits by now')
    .option('--json', 'print one JSON document: {"accepted","failure","action"}')
    .addHelpText(
      'after',
      `
  retry       read the pipeline file again and run the step again
  skip-step   leave this step out; the partition ends skipped
  skip        leave the rest of this partition out
  abort       end this partition failed, and the backfill with it

Example:
  dayfill resolve talbots 2025-07-18 retry --note "the file was sent again"`,
    )
    .action((pipeline: string, partition: string, word: string, extra: string | undefined, options: ResolveOptions) => {
      const action = ACTIONS[word];
      if (NOT_YET.includes(word))
        throw new UsageError(`"${word}" is not yet possible: use ${Object.keys(ACTIONS).join(', ')}.`);
      if (action === undefined)
        throw new UsageError(`"${word}" is not an action: use ${Object.keys(ACTIONS).join(', ')}.`);
      if (extra !== undefined) throw new UsageError(`${word} stands alone; leave out "${extra}".`);
      const { note, by, failure } = options;
      const given = Object.entries({ action, note, by, failure }).filter(([, value]) => value !== undefined);
      const decision = Object.fromEntries(given) as Decision;
      return withDayfill(
        async (dayfill) => {
          const receipt = await decide(dayfill, pipeline, partition, decision);
          if (options.json) printJson(receipt);
          else console.log(`${partition}: ${word} accepted for failure ${receipt.failure}.`);
        },
        (files) => void partitionBounds(files, pipeline, partition),
      );
    });
}
