import { Command } from 'commander';
import { StateError } from '../client/errors.js';
import { loadConfig } from '../config.js';

/** `dayfill worker`: runs steps until it is stopped. */
export function workerCommand(): Command {
  return new Command('worker')
    .description('run a worker in the foreground; Ctrl-C lets steps under way stop and be taken over')
    .addHelpText('after', '\nExample:\n  dayfill stack up --no-worker && dayfill worker')
    .action(async () => {
      const { runWorker } = await import('../worker.js');
      try {
        await runWorker(loadConfig());
      } catch (error) {
        throw new StateError(error instanceof Error ? error.message : String(error), { cause: error });
      }
    });
}
