import type { Runner, RunnerOptions } from './runner.js';

/** The runner of a worker: a process per run. */
export function createRunner(_options: RunnerOptions): Runner {
  throw new Error('not there yet');
}
