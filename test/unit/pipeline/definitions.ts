// biome-ignore-all lint/suspicious/noThenProperty: the word of the pipeline file; not a function, so no promise
import type { StepFailure } from '../../../src/contracts/failure.js';
import type { PipelineDefinition, Remedy, StepDefinition, Work } from '../../../src/pipeline/definition.js';

/** Definitions with only what a test is about written out. */
export function pipeline(given: Partial<PipelineDefinition> = {}): PipelineDefinition {
  return {
    name: 'talbots',
    description: '',
    dir: '/pipelines/talbots',
    calendar: { everyDays: 1, start: '2025-07-01', end: null },
    calendarText: { every: '1d', start: '2025-07-01', end: null },
    vars: {},
    onFailure: 'wait',
    parallelSafe: false,
    concurrency: 1,
    lock: null,
    fixes: null,
    allowAdHocSql: false,
    decideWithin: null,
    critical: true,
    freshness: null,
    notify: [],
    budgetUsd: null,
    smoke: null,
    verify: null,
    steps: [step({ id: 'crm' }), step({ id: 'identity' })],
    ...given,
  };
}

export function work(given: Partial<Work> = {}): Work {
  return {
    uses: 'command',
    with: { run: ['true'] },
    timeoutMs: 60_000,
    retry: { attempts: 3, initialMs: 30_000 },
    ...given,
  };
}

export function step(given: Partial<StepDefinition> & { id: string }): StepDefinition {
  return { ...work(), title: given.id, remedies: [], afterFix: [], limits: null, cleanup: [], ...given };
}

export function remedy(given: Partial<Remedy> & { id: string }): Remedy {
  return { when: {}, attempts: 1, run: [work()], then: 'retry', ...given };
}

export function failure(given: Partial<StepFailure> = {}): StepFailure {
  return {
    kind: 'test_failure',
    tests: [],
    message: '',
    tail: '',
    log: null,
    evidence: null,
    exitCode: null,
    ...given,
  };
}
