import { userInfo } from 'node:os';
import { Command, Option } from 'commander';
import { resolveAlike } from '../client/alike.js';
import { decide } from '../client/decide.js';
import { UsageError } from '../client/errors.js';
import { fixFile } from '../client/fix-file.js';
import { checkKnown, type PipelineFiles, partitionBounds } from '../client/pipelines.js';
import { type AlikeInput, alikeSchema, type Decision, firstIssue } from '../contracts/decision.js';
import { printJson, withDayfill } from './options.js';

const ACTIONS: Record<string, Decision['action']> = {
  retry: 'retry',
  fix: 'fix',
  approve: 'approve',
  reject: 'reject',
  'skip-step': 'skipStep',
  skip: 'skip',
  abort: 'abort',
};

interface ResolveOptions {
  allLike?: string;
  sql?: string;
  then?: 'retry' | 'continue';
  note?: string;
  by?: string;
  failure?: string;
  json?: true;
}

/** `dayfill resolve`: answers the failure that a partition waits with, or all alike. */
export function resolveCommand(): Command {
  return new Command('resolve')
    .description('answer the failure that a partition waits with')
    .argument('<pipeline>', 'name of the pipeline')
    .argument('[words...]', 'partition key, action, and the file or hash that it names')
    .usage('[options] <pipeline> <partition> <action> [file or hash]')
    .option('--all-like <fingerprint>', 'instead of a partition: every failure alike, now and later in this backfill')
    .option('--sql <text>', 'of fix: the SQL itself, where the pipeline says allow_ad_hoc_sql')
    .addOption(
      new Option('--then <what>', 'after a fix: run the step again, or let the fix stand in for it').choices([
        'retry',
        'continue',
      ]),
    )
    .option('--note <text>', 'why, for the ledger')
    .addOption(new Option('--by <who>', 'who decides, for the ledger').default(userInfo().username, 'you'))
    .option('--failure <id>', 'the failure that you answer; refused when another one waits by now')
    .option('--json', 'print one JSON document: {"accepted","failure","action"}')
    .addHelpText(
      'after',
      `
  retry           read the pipeline file again and run the step again
  fix FILE        run this SQL file of the pipeline's fixes/, then the step again
  approve HASH    run the proposal that "dayfill show" shows under this hash, then the step again
  reject [HASH]   turn the proposal down; the partition goes on waiting
  skip-step       leave this step out; the partition ends skipped
  skip            leave the rest of this partition out
  abort           end this partition failed, and the backfill with it

Examples:
  dayfill resolve talbots 2025-07-18 retry --note "the file was sent again"
  dayfill resolve talbots 2025-07-18 fix fixes/currency.sql
  dayfill resolve talbots --all-like 1a2b3c4d5e6f     # what healed one of them, for all of them`,
    )
    .action((pipeline: string, words: string[], options: ResolveOptions) =>
      options.allLike === undefined
        ? resolveOne(pipeline, words, options)
        : resolveAll(pipeline, words, { ...options, allLike: options.allLike }),
    );
}

function resolveOne(pipeline: string, words: string[], options: ResolveOptions): Promise<void> {
  const [partition, action, what, ...rest] = words;
  if (partition === undefined || action === undefined) {
    throw new UsageError('Say which partition and what to do, e.g. "dayfill resolve talbots 2025-07-18 retry".');
  }
  const decision = (files: PipelineFiles) => {
    const named = decisionOf(files, pipeline, action, [what, ...rest], options);
    const { sql, then, note, by, failure } = options;
    return given({ ...named, sql, then, note, by, failure }) as Decision;
  };
  return withDayfill(
    async (dayfill) => {
      const receipt = await decide(dayfill, pipeline, partition, decision(dayfill));
      if (options.json) printJson(receipt);
      else console.log(`${partition}: ${action} accepted for failure ${receipt.failure}.`);
    },
    (files) => {
      partitionBounds(files, pipeline, partition);
      decision(files);
    },
  );
}

function resolveAll(pipeline: string, words: string[], options: ResolveOptions & { allLike: string }): Promise<void> {
  const [action, ...what] = words;
  if (action !== undefined && /^\d/.test(action)) {
    throw new UsageError(`--all-like stands for every partition that fails so: leave out ${action}.`);
  }
  if (options.failure !== undefined || options.sql !== undefined || options.then !== undefined) {
    throw new UsageError('--all-like repeats what healed one partition: leave out --failure, --sql and --then.');
  }
  const alike = (files: PipelineFiles): AlikeInput => {
    const named = action === undefined ? {} : decisionOf(files, pipeline, action, what, options);
    const { note, by } = options;
    const parsed = alikeSchema.safeParse(given({ ...named, fingerprint: options.allLike, note, by }));
    if (!parsed.success) throw new UsageError(`--all-like is not usable: ${firstIssue(parsed.error)}.`);
    return parsed.data;
  };
  return withDayfill(
    async (dayfill) => {
      const receipt = await resolveAlike(dayfill, pipeline, alike(dayfill));
      if (options.json) return printJson(receipt);
      const { action: done, canary, released, stands } = receipt;
      const now = released.length === 0 ? 'No other partition waits with it now' : `Released ${released.join(', ')}`;
      const later = stands ? '; it stands for the rest of this backfill' : '';
      console.log(`${now}, by ${done} as ${canary} was healed${later}.`);
    },
    (files) => {
      checkKnown(files, pipeline);
      alike(files);
    },
  );
}

/** The action and what it names: a file of the pipeline, or a hash. */
function decisionOf(
  files: PipelineFiles,
  pipeline: string,
  word: string,
  [what, extra]: (string | undefined)[],
  { sql }: ResolveOptions,
): Record<string, string | undefined> {
  const action = ACTIONS[word];
  if (action === undefined) {
    throw new UsageError(`"${word}" is not an action: use ${Object.keys(ACTIONS).join(', ')}.`);
  }
  const alone = action !== 'fix' && action !== 'approve' && action !== 'reject' ? what : extra;
  if (alone !== undefined) throw new UsageError(`"${word}" takes nothing more; leave out "${alone}".`);
  if (action === 'approve' && what === undefined) {
    throw new UsageError('approve names the hash of the proposal that "dayfill show" shows.');
  }
  if (action === 'fix' && (what === undefined) === (sql === undefined)) {
    throw new UsageError('fix names either a SQL file, e.g. fixes/currency.sql, or its text with --sql.');
  }
  if (action === 'fix') return { action, file: what === undefined ? undefined : fixFile(files, pipeline, what) };
  return { action, proposal: what };
}

function given(options: Record<string, string | undefined>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
