import { setTimeout } from 'node:timers/promises';
import { Command } from 'commander';
import { type KnownDue, knownDue } from '../client/due.js';
import type { Dayfill } from '../client/open.js';
import { checkKnown } from '../client/pipelines.js';
import { type PipelineStatus, pipelineStatus } from '../client/status.js';
import { dollarsText } from '../contracts/amounts.js';
import { listPipelines } from '../pipeline/load.js';
import { statusJson } from './json.js';
import { printJson, sayWhetherWorkerAnswers, withDayfill } from './options.js';
import { countsLine, sentence, statusTable } from './tables.js';

const WATCH_MS = 1000;
/** Characters of the keys that a line of missing or stale partitions names. */
const MOST_KEYS = 200;

/** `dayfill status`: the days of a pipeline, or a line per pipeline. */
export function statusCommand(): Command {
  return new Command('status')
    .description('how the partitions of a pipeline stand; all pipelines without a name')
    .argument('[pipeline]', 'name of the pipeline')
    .option('--watch', 'show it again as it changes, until nothing runs')
    .option(
      '--json',
      'print one JSON document: {"pipeline","state","total","counts","current","spentUsd","budgetUsd","partitions":[…],"missing":[…],"stale":[…]}',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  dayfill status\n  dayfill status talbots --watch\n  dayfill status talbots --json',
    )
    .action((pipeline: string | undefined, options: { watch?: true; json?: true }) =>
      withDayfill(
        (dayfill) => (pipeline === undefined ? all(dayfill, options) : one(dayfill, pipeline, options)),
        (files) => {
          if (pipeline !== undefined) checkKnown(files, pipeline);
        },
      ),
    );
}

async function all(dayfill: Dayfill, options: { json?: true }): Promise<void> {
  const names = listPipelines(dayfill.config.pipelinesDir);
  const pipelines = await Promise.all(names.map((name) => pipelineStatus(dayfill, name)));
  const dues = await Promise.all(names.map((name) => askDue(dayfill, name)));
  sayWhetherWorkerAnswers({ workerAnswers: pipelines.every(({ workerAnswers }) => workerAnswers) });
  if (options.json) {
    const summaries = pipelines.map((status, index) => {
      const { partitions: _partitions, ...summary } = statusJson(status);
      return { ...summary, ...dueJson(dues[index]!) };
    });
    return printJson({ pipelines: summaries });
  }
  for (const [index, { pipeline, state, counts }] of pipelines.entries()) {
    const { missing, stale } = dues[index]!;
    const due = countsLine({ missing: missing?.length, stale: stale?.length }, '');
    console.log(`${pipeline}: ${state} (${countsLine(counts)})${due === '' ? '' : `, ${due}`}`);
  }
}

async function one(dayfill: Dayfill, pipeline: string, options: { watch?: true; json?: true }): Promise<void> {
  let shown = '';
  let workerAnswered = true;
  for (;;) {
    const status = await pipelineStatus(dayfill, pipeline);
    if (workerAnswered !== status.workerAnswers) sayWhetherWorkerAnswers(status);
    workerAnswered = status.workerAnswers;
    const text = `${statusTable(status)}\n${pipeline} is ${status.state}: ${countsLine(status.counts)}${costPart(status)}`;
    if (!options.watch || status.state === 'idle') {
      const due = await askDue(dayfill, pipeline);
      if (options.json) return printJson({ ...statusJson(status), ...dueJson(due) });
      if (text !== shown) console.log(text);
      for (const line of dueLines(pipeline, due)) console.log(line);
      return;
    }
    if (text !== shown && !options.json) console.log(process.stdout.isTTY ? `\x1b[2J\x1b[H${text}` : text);
    shown = text;
    await setTimeout(WATCH_MS);
  }
}

/** What is missing and stale; says why when it cannot be known. */
async function askDue(dayfill: Dayfill, pipeline: string): Promise<KnownDue> {
  const due = await knownDue(dayfill, pipeline);
  if (due.unknown !== null)
    console.error(`What is ${due.missing === null ? 'missing or ' : ''}stale is not known: ${due.unknown}`);
  return due;
}

function dueJson({ missing, stale }: KnownDue) {
  return { missing, stale };
}

/** `2 missing: 2025-07-19, 2025-07-20 (dayfill run talbots --missing)` */
function dueLines(pipeline: string, { missing, stale }: KnownDue): string[] {
  return Object.entries({ missing, stale }).flatMap(([what, keys]) =>
    keys === null || keys.length === 0
      ? []
      : [`${keys.length} ${what}: ${sentence(keys.join(', '), MOST_KEYS)} (dayfill run ${pipeline} --${what})`],
  );
}

/** What the running backfill has spent, where it is known. */
function costPart({ spentUsd, budgetUsd }: PipelineStatus): string {
  if (spentUsd === null && budgetUsd === null) return '';
  const budget = budgetUsd === null ? '' : ` of ${dollarsText(budgetUsd)}`;
  return `; ${dollarsText(spentUsd ?? 0)}${budget} spent`;
}
