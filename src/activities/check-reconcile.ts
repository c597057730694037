import { BigQuery } from '@google-cloud/bigquery';
import { Context } from '@temporalio/activity';
import type { StepActivity } from '../contracts/activities.js';
import type { Revisions } from '../contracts/step.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import { FixRefused, type QueryGuard } from '../warehouse/fixes/guard.js';
import type { Figures, TotalsRecord } from '../warehouse/told-totals.js';
import { classified, type EndedJob, jobsOutput, runStepQuery } from './bigquery-job.js';
import { differences, mismatchMessage } from './reconcile/compare-totals.js';
import { type DayTotals, daysOf, readDayTotals, type Window } from './reconcile/day-totals.js';
import { decimalText } from './reconcile/decimal.js';
import { readSqlFile } from './sql-file.js';
import { type StepContext, type StepDeps, StepError, type StepOutput, stepActivity } from './step-activity.js';

/** Days that a notice names; the totals' record has them all. */
const MOST_REVISED_DAYS = 31;

/** What a reconciliation needs besides what every step needs. */
export interface ReconcileParts {
  clients: BigQueryClients;
  queryGuard: QueryGuard;
  totalsRecord: TotalsRecord;
}

type ReconcileContext = StepContext<'check/reconcile'>;

/** Compares counts and sums per day between source and target, and says which days' totals an earlier run had otherwise. */
export function checkReconcile(parts: ReconcileParts): (deps: StepDeps) => StepActivity {
  return stepActivity('check/reconcile', async (context) => {
    try {
      return await reconcile(context, parts);
    } catch (error) {
      throw classified(error);
    }
  });
}

async function reconcile(context: ReconcileContext, parts: ReconcileParts): Promise<StepOutput> {
  const { source, target, tolerance } = context.with;
  const window = windowOf(context);
  const [sourceQuery, targetQuery] = await Promise.all([source, target].map((file) => readQuery(context, parts, file)));
  const [there, thereJob] = await totals(context, parts, 'source', sourceQuery!, window);
  const [here, hereJob] = await totals(context, parts, 'target', targetQuery!, window);
  if (there.names.toSorted().join() !== here.names.toSorted().join()) {
    throw new StepError(
      'pipeline',
      `${source} gives ${there.names.join(', ')} and ${target} gives ${here.names.join(', ')}: let both give the same columns.`,
    );
  }
  const found = differences(there, here, tolerance);
  const days = daysOf(window);
  context.log.write(`# ${window.from} to ${window.to}: ${found.length === 0 ? 'no differences' : found.join('\n# ')}`);
  if (found.length > 0) throw new StepError('mismatch', mismatchMessage(found, days));
  const revised = await revisions(context, parts.totalsRecord, here, window);
  const all = (revised?.days.length ?? 0) + (revised?.more ?? 0);
  return {
    ...jobsOutput([thereJob, hereJob]),
    counts: { daysCompared: days, daysRevised: all },
    ...(revised !== null && { revised }),
  };
}

/** So many days up to the partition's last one; the partition itself where nothing is said. */
function windowOf({ request: { partition }, with: { days } }: ReconcileContext): Window {
  if (days === undefined) return { from: partition.start, to: partition.end };
  const from = new Date(Date.parse(partition.end) - (days - 1) * 86_400_000).toISOString().slice(0, 10);
  return { from, to: partition.end };
}

/** @throws StepError of kind `pipeline` for a file that does more than read. */
async function readQuery(context: ReconcileContext, { queryGuard }: ReconcileParts, file: string): Promise<string> {
  const query = await readSqlFile(context, file);
  try {
    await queryGuard(query);
  } catch (error) {
    if (error instanceof FixRefused) throw new StepError('pipeline', `${file}, ${error.message}`);
    throw error;
  }
  return query;
}

async function totals(
  context: ReconcileContext,
  { clients }: ReconcileParts,
  side: 'source' | 'target',
  query: string,
  window: Window,
): Promise<[DayTotals, EndedJob]> {
  const { project, location = null, dataset = null } = context.with;
  const file = context.with[side];
  if (project === undefined) {
    throw new StepError('pipeline', `No project for ${file}: set the var project_id or the step's project.`);
  }
  const done = await runStepQuery(context, clients(project), {
    name: side,
    query,
    location,
    dataset,
    maxBytesBilled: null,
    params: { window_start: BigQuery.date(window.from), window_end: BigQuery.date(window.to) },
  });
  return [await readDayTotals(done.job, file, window), done];
}

/**
 * Records the target's totals, and gives the days whose totals an earlier run had otherwise. What this run itself has
 * recorded does not count as earlier, so another attempt finds the same. Null when there are none.
 */
async function revisions(
  context: ReconcileContext,
  record: TotalsRecord,
  target: DayTotals,
  { from, to }: Window,
): Promise<Revisions | null> {
  const { key, step } = context.request;
  const of = { pipeline: key.split('/')[0]!, step };
  const run = Context.current().info.workflowExecution?.runId ?? '';
  const before = await record.before(of, run, from, to);
  const now = new Map([...before.keys()].map((day): [string, Figures] => [day, {}]));
  for (const [day, totals] of target.days) {
    const figures = Object.entries(totals).map(([name, value]) => [name, value && decimalText(value)] as const);
    now.set(day, Object.fromEntries(figures));
  }
  const changed = [...now].filter(([day, figures]) => isOther(before.get(day), figures)).sort();
  await record.append(of, run, new Map(changed));
  const revised = changed.flatMap(([day, after]) => {
    const old = before.get(day);
    return old === undefined ? [] : [{ day, figures: changedFigures(old, after) }];
  });
  if (revised.length === 0) return null;
  return { days: revised.slice(0, MOST_REVISED_DAYS), more: Math.max(0, revised.length - MOST_REVISED_DAYS) };
}

function isOther(before: Figures | undefined, now: Figures): boolean {
  return before === undefined || changedFigures(before, now).length > 0;
}

/** A figure that a day did not have is null. */
function changedFigures(before: Figures, after: Figures): Revisions['days'][number]['figures'] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names
    .map((name) => ({ name, before: before[name] ?? null, after: after[name] ?? null }))
    .filter((figure) => figure.before !== figure.after);
}
