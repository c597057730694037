import { SLOT_HOUR_MS } from '../contracts/amounts.js';
import type { DecideWithin } from '../contracts/partition.js';
import type { Json } from '../contracts/step.js';
import { calendarOf } from './calendar-text.js';
import type {
  FixDefinition,
  FreshnessDefinition,
  LimitsDefinition,
  PipelineDefinition,
  VarDefinition,
  Work,
} from './definition.js';
import { parseBytes, parseDuration } from './scalars.js';
import { DEFAULT_RETRY, type PipelineFile } from './schema.js';

type FileStep = PipelineFile['steps'][number];
type FileWork = FileStep['remedies'][number]['run'][number];

/**
 * Turns a checked file into the definition that the rest of dayfill works with.
 * @param freshnessSql text of the SQL file that `freshness:` names, when it names one.
 */
export function definitionOf(file: PipelineFile, dir: string, freshnessSql?: string): PipelineDefinition {
  const { every, start, end = null } = file.partition;
  const calendarText = { every, start, end };
  const varEntries = Object.entries(file.vars).map(([name, value]): [string, VarDefinition] =>
    typeof value === 'object'
      ? [name, { default: String(value.default), pattern: value.pattern ?? null, overridable: value.overridable }]
      : [name, { default: String(value), pattern: null, overridable: false }],
  );
  return {
    name: file.pipeline,
    description: file.description,
    dir,
    calendar: calendarOf(
      calendarText,
      Object.fromEntries(varEntries.map(([name, { default: value }]) => [name, value])),
    ),
    calendarText,
    vars: Object.fromEntries(varEntries),
    onFailure: file.on_failure,
    parallelSafe: file.parallel_safe,
    concurrency: file.concurrency,
    lock: file.lock ?? null,
    fixes: file.fixes === undefined ? null : fixesOf(file.fixes),
    allowAdHocSql: file.allow_ad_hoc_sql,
    decideWithin: file.decide_within === undefined ? null : decideWithinOf(file.decide_within),
    critical: file.critical,
    freshness: file.freshness === undefined ? null : freshnessOf(file.freshness, freshnessSql),
    notify: file.notify,
    budgetUsd: file.budget_usd ?? null,
    smoke: file.smoke === undefined ? null : textsOf(file.smoke.vars),
    verify: file.verify === undefined ? null : { ...file.verify, cwd: file.verify.cwd ?? null },
    steps: file.steps.map((step) => ({
      id: step.id,
      title: step.title ?? step.id,
      ...workOf(step, step.retry),
      remedies: step.remedies.map(({ id, when: { exit_code, ...when }, attempts, run, then }) => ({
        id,
        when: { ...when, exitCode: exit_code },
        attempts,
        run: run.map((work) => workOf(work, DEFAULT_RETRY)),
        then,
      })),
      afterFix: step.after_fix.map((work) => workOf(work, DEFAULT_RETRY)),
      limits: step.limits === undefined ? null : limitsOf(step.limits),
      cleanup: step.cleanup.map((work) => workOf(work, DEFAULT_RETRY)),
    })),
  };
}

function textsOf(values: Record<string, string | number>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
}

function fixesOf(fixes: NonNullable<PipelineFile['fixes']>): FixDefinition {
  return {
    datasets: fixes.datasets,
    creates: fixes.creates,
    dayColumns: fixes.day_columns,
    maxRows: fixes.max_rows,
    maxBytesBilled: fixes.max_bytes_billed === undefined ? null : parseBytes(fixes.max_bytes_billed),
    autoApply: fixes.auto_apply,
  };
}

function freshnessOf(
  { query, project, location, dataset }: NonNullable<PipelineFile['freshness']>,
  sql: string | undefined,
): FreshnessDefinition {
  return { sql: sql ?? query!, project: project ?? null, location: location ?? null, dataset: dataset ?? null };
}

function limitsOf(limits: NonNullable<FileStep['limits']>): LimitsDefinition {
  const { runtime, bytes_billed, slot_hours, cost_usd, temp_tables = [], on_limit } = limits;
  return {
    runtimeMs: runtime === undefined ? null : parseDuration(runtime)!,
    bytesBilled: bytes_billed === undefined ? null : parseBytes(bytes_billed),
    slotMs: slot_hours === undefined ? null : slot_hours * SLOT_HOUR_MS,
    costUsd: cost_usd ?? null,
    tempTables: temp_tables.map(({ like, dataset, project, date_column, max_days }) => ({
      ...{ like, dateColumn: date_column, maxDays: max_days },
      ...{ dataset: dataset ?? null, project: project ?? null },
    })),
    onLimit: on_limit,
  };
}

function decideWithinOf({ time, action, remind_every }: NonNullable<PipelineFile['decide_within']>): DecideWithin {
  return {
    timeMs: parseDuration(time)!,
    action: action === 'skip_step' ? 'skipStep' : action,
    remindMs: remind_every === undefined ? null : parseDuration(remind_every)!,
  };
}

function workOf(work: FileWork | FileStep, retry: FileStep['retry']): Work {
  return {
    uses: work.uses,
    with: work.with as Record<string, Json>,
    timeoutMs: parseDuration(work.timeout)!,
    retry: { attempts: retry.attempts, initialMs: parseDuration(retry.initial)! },
  };
}
