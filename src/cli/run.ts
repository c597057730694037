import { Command, Option } from 'commander';
import { checkDue, resolveDue } from '../client/due.js';
import { UsageError } from '../client/errors.js';
import type { Dayfill } from '../client/open.js';
import { checkBackfill, planBackfill, startBackfill } from '../client/start.js';
import { type PipelineStatus, pipelineStatus } from '../client/status.js';
import { type AddInput, type BackfillInput, backfillInputSchema, type Plan } from '../contracts/backfill.js';
import { firstIssue } from '../contracts/decision.js';
import { backfillId, type Vars, variantName } from '../contracts/ids.js';
import { ON_FAILURE, type OnFailure } from '../contracts/status.js';
import { followBackfill } from './follow.js';
import { Interruption } from './interruption.js';
import { planJson, statusJson } from './json.js';
import {
  concurrency,
  dueRequest,
  keyList,
  printJson,
  type Selection,
  sayWhetherWorkerAnswers,
  selection,
  varList,
  withDayfill,
} from './options.js';
import { countsLine, estimateLines, planTable, statusTable } from './tables.js';

/** Something waits for a person. */
const WAITING = 3;

interface RunOptions extends Selection {
  smoke?: true;
  exclude?: string[];
  order?: 'asc' | 'desc';
  concurrency?: number;
  onFailure?: OnFailure;
  fromStep?: string;
  force?: true;
  var?: Vars;
  reason?: string;
  plan?: true;
  detach?: true;
  untilWaiting?: boolean;
  json?: true;
}

/** `dayfill run`: plans, starts and follows a backfill. */
export function runCommand(): Command {
  return new Command('run')
    .description('backfill a range of partitions, in order, and follow it')
    .argument('<pipeline>', 'name of the pipeline')
    .option('--from <date>', 'first day, inclusive')
    .option('--to <date>', 'last day, inclusive')
    .option('--partitions <keys>', 'partition keys, separated by commas', keyList)
    .option('--missing', 'partitions that are over (by UTC) and not done; --from and --to narrow it')
    .option('--stale', 'partitions that are done, but whose source changed since; --from and --to narrow it')
    .option(
      '--smoke',
      'a short trial run in a place of its own, checked and removed, as smoke: of the pipeline file says',
    )
    .option('--exclude <keys>', 'partitions of the range to leave out', keyList)
    .addOption(new Option('--order <order>', 'oldest or newest first').choices(['asc', 'desc']))
    .option(
      '--concurrency <n>',
      'partitions at once; more than 1 only where the pipeline is parallel_safe',
      concurrency,
    )
    .addOption(new Option('--on-failure <what>', 'what an unknown failure does to the line').choices(ON_FAILURE))
    .option('--from-step <id>', 'begin each partition at this step; the earlier ones must have succeeded')
    .option('--force', 'run partitions that are done again')
    .option('--var <name=value>', 'override a var; the run is then recorded apart', varList)
    .option('--reason <text>', 'why, for the ledger')
    .option('--plan', 'print what would run, why, and what it would cost at least, and run nothing')
    .option('--detach', 'start, and do not follow')
    .option('--until-waiting', 'stop following when something waits for a person (the default without a terminal)')
    .option('--no-until-waiting', 'keep following while something waits')
    .option('--json', 'print one JSON document on stdout: how the partitions stand, or the plan with --plan')
    .addHelpText(
      'after',
      `
Exit code: 0 when every partition succeeded or was fixed, 1 when some failed, were skipped or aborted, 2 for bad usage,
3 when it stopped following because something waits.

Examples:
  dayfill run talbots --from 2025-07-16 --to 2025-08-14
  dayfill run talbots --partitions 2025-07-18,2025-07-20 --force --reason "files were corrected"
  dayfill run talbots --missing --plan --json
  dayfill run orders --missing --stale --from 2025-07-01
  dayfill run backlog --smoke`,
    )
    .action((pipeline: string, options: RunOptions) => {
      if (options.plan && options.detach) {
        throw new UsageError('--plan starts nothing, so there is nothing to --detach.');
      }
      if (options.smoke) return runSmoke(pipeline, options);
      return withDayfill(
        async (dayfill) => {
          const request = dueRequest(options);
          const asked = request === null ? selection(options) : await resolveDue(dayfill, pipeline, request);
          if (asked === null) return nothingDue(dayfill, pipeline, options);
          printed(await run(dayfill, inputOf(pipeline, asked, options), options), options);
        },
        (files) => {
          const request = dueRequest(options);
          const asked = request === null ? selection(options) : checkDue(files, pipeline, request);
          checkBackfill(files, inputOf(pipeline, asked, options));
        },
      );
    });
}

async function nothingDue(dayfill: Dayfill, name: string, options: RunOptions): Promise<void> {
  const pipeline = variantName(name, options.var);
  if (options.plan && options.json) return printJson({ pipeline, partitions: [] });
  const out = options.json ? process.stderr : process.stdout;
  const what = [...(options.missing ? ['missing'] : []), ...(options.stale ? ['stale'] : [])].join(' or ');
  out.write(`Nothing to run: no partition of ${pipeline} is ${what}.\n`);
  if (!options.plan && options.json) printed(await report(dayfill, { pipeline, partitions: [] }, options), options);
}

/** @returns what `--json` prints; undefined for nothing. */
async function run(dayfill: Dayfill, input: BackfillInput, options: RunOptions): Promise<object | undefined> {
  const plan = await planBackfill(dayfill, input);
  const todo = plan.partitions.filter(({ action }) => action === 'run');
  const out = options.json ? process.stderr : process.stdout;
  if (options.plan) {
    // What only some runs want is loaded late, here and below: clients of other services, which take their time.
    const { estimatePlan } = await import('../client/estimate.js');
    const estimate = await estimatePlan(dayfill, input, plan);
    if (options.json) return planJson(plan, estimate);
    console.log(planTable(plan, estimate));
    console.log(`${todo.length} of ${plan.partitions.length} partitions would run.`);
    for (const line of estimateLines(estimate, plan)) console.log(line);
    return undefined;
  }
  for (const { partition, reason } of plan.partitions.filter(({ action }) => action === 'skip')) {
    out.write(`${partition} does not run: ${reason}\n`);
  }
  if (todo.length === 0) {
    out.write('Nothing to run: every partition asked for is done; --force runs them again.\n');
    return report(dayfill, plan, options);
  }
  const handle = await startBackfill(dayfill, input);
  out.write(
    `Started ${backfillId(input.pipeline, input.vars)}: ${todo.length} of ${plan.partitions.length} partitions.\n`,
  );
  if (options.detach) {
    if (!options.json) out.write(`Follow it with: dayfill status ${plan.pipeline} --watch\n`);
    return { pipeline: plan.pipeline, workflowId: handle.workflowId, partitions: plan.partitions };
  }
  const untilWaiting = options.untilWaiting ?? !process.stdout.isTTY;
  const interruption = new Interruption();
  const end = await followBackfill(dayfill, handle, { untilWaiting, out, signal: interruption.signal });
  if (end.why === 'interrupted') {
    console.error(
      `Stopped following; ${plan.pipeline} goes on. Follow it with: dayfill status ${plan.pipeline} --watch; end it with: dayfill cancel ${plan.pipeline}`,
    );
    process.exitCode = interruption.exitCode;
    return undefined;
  }
  if (end.why === 'ended' && end.failure !== null) out.write(`${end.failure}\n`);
  const document = await report(dayfill, plan, options);
  if (end.why === 'waiting') {
    out.write(`Stopped following: something waits. See it with: dayfill status ${plan.pipeline}\n`);
    process.exitCode = WAITING;
  }
  return document;
}

function printed(document: object | undefined, { json }: RunOptions): void {
  if (json && document !== undefined) printJson(document);
}

/** The trial run: run, checked, and removed when all is well; what went wrong is left to be looked at. */
async function runSmoke(pipeline: string, options: RunOptions): Promise<void> {
  const other = Object.keys(options).find((name) => !['smoke', 'json', 'untilWaiting'].includes(name));
  if (other !== undefined) throw new UsageError('--smoke goes by itself: the pipeline file says what it runs.');
  const { removeSmoke, smokeInput } = await import('../client/smoke.js');
  const { verifyUploads } = await import('../client/verify.js');
  const { onCopy, reportText } = await import('./verify.js');
  await withDayfill(
    async (dayfill) => {
      const input = smokeInput(dayfill, pipeline);
      const out = options.json ? process.stderr : process.stdout;
      const document = await run(dayfill, input, options);
      if (process.exitCode) return printed(document, options);
      const signal = new Interruption().signal;
      const report = await verifyUploads(dayfill, pipeline, { vars: input.vars, onCopy, signal });
      if (!options.json) console.log(reportText(report));
      if (!report.ok) {
        process.exitCode = 1;
        out.write(`Left as it is: ${report.place}\n`);
        return printed({ ...document, verify: report, removed: 0 }, options);
      }
      const { place, removed, left } = await removeSmoke(dayfill, input);
      out.write(`Removed ${removed} objects from ${place}${left === 0 ? '' : `; ${left} of others are left`}.\n`);
      printed({ ...document, verify: report, removed }, options);
    },
    (files) => checkBackfill(files, smokeInput(files, pipeline)),
  );
}

/** What was excluded from missing and stale partitions is no part of `asked` already. */
function inputOf(pipeline: string, asked: AddInput, options: RunOptions): BackfillInput {
  const { order, concurrency, onFailure, force, fromStep, var: vars, reason } = options;
  const exclude = options.missing || options.stale ? undefined : options.exclude;
  const given = { pipeline, ...asked, exclude, order, concurrency, onFailure, force, fromStep, vars, reason };
  const defined = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const parsed = backfillInputSchema.safeParse(defined);
  if (!parsed.success) throw new UsageError(`This cannot be run: ${firstIssue(parsed.error)}.`);
  return parsed.data;
}

/** How the planned partitions stand now, as `--json` prints it; sets the exit code. */
async function report(
  dayfill: Dayfill,
  plan: Pick<Plan, 'pipeline' | 'partitions'>,
  options: RunOptions,
): Promise<object> {
  const asked = new Set(
    plan.partitions.filter(({ reason }) => reason !== 'excluded').map(({ partition }) => partition),
  );
  const status = await pipelineStatus(dayfill, plan.pipeline);
  sayWhetherWorkerAnswers(status);
  const partitions = status.partitions.filter(({ partition }) => asked.has(partition));
  const counts: Partial<PipelineStatus['counts']> = {};
  for (const line of partitions) counts[line.status] = (counts[line.status] ?? 0) + 1;
  const good = partitions.filter((line) => line.status === 'succeeded' || line.status === 'fixed').length;
  if (good < asked.size) process.exitCode = 1;
  if (options.json) {
    const total = partitions.length;
    return statusJson({ ...status, total, counts: { ...zero(status), ...counts }, partitions });
  }
  console.log(statusTable({ partitions }));
  console.log(countsLine(counts));
  return {};
}

function zero({ counts }: PipelineStatus): PipelineStatus['counts'] {
  return Object.fromEntries(Object.keys(counts).map((status) => [status, 0])) as PipelineStatus['counts'];
}
