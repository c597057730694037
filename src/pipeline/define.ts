import type { Json } from '../contracts/step.js';
import type { PipelineDefinition, Work } from './definition.js';
import { parseDuration } from './scalars.js';
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
    })),
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
