import { Command, CommanderError } from 'commander';
import { NoTemporalError } from '../client/connection.js';
import { StateError, UsageError } from '../client/errors.js';
import { ConfigError } from '../config.js';
import { PartitionError, PipelineError } from '../pipeline/errors.js';
import { StackError } from '../stack/errors.js';
import { addCommand } from './add.js';
import { cancelCommand } from './cancel.js';
import { ledgerCommand } from './ledger.js';
import { markCommand } from './mark.js';
import { notYetCommands } from './not-yet.js';
import { pauseCommand, resumeCommand } from './pause.js';
import { resolveCommand } from './resolve.js';
import { runCommand } from './run.js';
import { showCommand } from './show.js';
import { stackCommand } from './stack.js';
import { statusCommand } from './status.js';
import { validateCommand } from './validate.js';
import { workerCommand } from './worker.js';

/** Exit codes: bad usage is told from what failed. */
const FAILED = 1;
const BAD_USAGE = 2;

function program(): Command {
  const root = new Command('dayfill')
    .description('Fills a range of dates, day by day, and heals what breaks on the way.')
    .addHelpText(
      'after',
      `
Examples:
  dayfill stack up
  dayfill run talbots --from 2025-07-16 --to 2025-07-20
  dayfill status talbots --watch
  dayfill resolve talbots 2025-07-18 retry --note "file was sent again"`,
    );
  const commands = [
    runCommand(),
    addCommand(),
    markCommand(),
    statusCommand(),
    showCommand(),
    resolveCommand(),
    pauseCommand(),
    resumeCommand(),
    cancelCommand(),
    ledgerCommand(),
    validateCommand(),
    stackCommand(),
    workerCommand(),
    ...notYetCommands(),
  ];
  for (const command of commands) root.addCommand(command);
  return withExitOverride(root);
}

/** Commander would end the process itself with 1; bad usage is 2 here. */
function withExitOverride(command: Command): Command {
  command.exitOverride().showHelpAfterError('(add --help for what is possible)');
  for (const child of command.commands) withExitOverride(child as Command);
  return command;
}

/** Runs one command line; resolves to its exit code. */
export async function main(argv: string[]): Promise<number> {
  try {
    await program().parseAsync(argv);
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : BAD_USAGE;
    const [sentence, code] = told(error);
    console.error(`dayfill: ${sentence}`);
    if (process.env.DAYFILL_LOG_LEVEL === 'debug') console.error(error);
    return code;
  }
}

function told(error: unknown): [string, number] {
  const message = error instanceof Error ? error.message : String(error);
  const badUsage = [UsageError, PartitionError, PipelineError, ConfigError];
  if (badUsage.some((kind) => error instanceof kind)) return [message, BAD_USAGE];
  const clear = [StateError, StackError, NoTemporalError];
  if (clear.some((kind) => error instanceof kind)) return [message, FAILED];
  return [`${message} (set DAYFILL_LOG_LEVEL=debug for more)`, FAILED];
}
