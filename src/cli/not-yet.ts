import { Command } from 'commander';
import { UsageError } from '../client/errors.js';

const NOT_YET: Record<string, string> = {
  schedule: 'a nightly catch-up',
};

/** Commands that have their place but not their work: they say so. */
export function notYetCommands(): Command[] {
  return Object.entries(NOT_YET).map(([name, what]) =>
    new Command(name)
      .description(`${what} (not yet)`)
      .argument('[words...]')
      .allowUnknownOption()
      .action(() => {
        throw new UsageError(`"dayfill ${name}" is not there yet: ${what} comes in a later version.`);
      }),
  );
}
