import type { DecideWithin } from '../contracts/partition.js';
import type { Json } from '../contracts/step.js';
import type { FixDefinition, PipelineDefinition, Work } from './definition.js';
import { parseBytes, parseDuration } from './scalars.js';
import { DEFAULT_RETRY, type PipelineFile } from './schema.js';

type FileStep = PipelineFile['steps'][number];
type FileWork = FileStep['remedies'][number]['run'][number];

/** Turns a checked file into the definition that the rest of dayfill works with. */
export function definitionOf(file: PipelineFile, dir: string): PipelineDefinition {
  return {
    name: file.pipeline,
    description: file.description,
    dir,
    calendar: {
      everyDays: Number.parseInt(file.partition.every, 10),
      start: file.partition.start,
      end: file.partition.end ?? null,
    },
    vars: Object.fromEntries(
      Object.entries(file.vars).map(([name, value]) =>
        typeof value === 'object'
          ? [name, { default: String(value.default), pattern: value.pattern ?? null, overridable: value.overridable }]
          : [name, { default: String(value), pattern: null, overridable: false }],
      ),
    ),
    onFailure: file.on_failure,
    parallelSafe: file.parallel_safe,
    concurrency: file.concurrency,
    lock: file.lock ?? null,
    fixes: file.fixes === undefined ? null : fixesOf(file.fixes),
    allowAdHocSql: file.allow_ad_hoc_sql,
    decideWithin: file.decide_within === undefined ? null : decideWithinOf(file.decide_within),
    notify: file.notify,
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
    })),
  };
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
