import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { NoTemporalError } from '../client/connection.js';
import { StateError, UsageError } from '../client/errors.js';
import { ConfigError } from '../config.js';
import { PartitionError, PipelineError } from '../pipeline/errors.js';
import { ServeStartError } from '../serve/start-error.js';
import { StackError } from '../stack/errors.js';
import { addCommand } from './add.js';
import { cancelCommand } from './cancel.js';
import { compileModelsCommand } from './compile-models.js';
import { costCommand } from './cost.js';
import { doctorCommand } from './doctor.js';
import { jobsCommand } from './jobs.js';
import { ledgerCommand } from './ledger.js';
import { markCommand } from './mark.js';
import { mcpCommand } from './mcp.js';
import { pauseCommand, resumeCommand } from './pause.js';
import { qualityCommand } from './quality.js';
import { rehearseCommand } from './rehearse.js';
import { remedyCommand } from './remedy.js';
import { resolveCommand } from './resolve.js';
import { runCommand } from './run.js';
import { scheduleCommand } from './schedule.js';
import { serveCommand } from './serve.js';
import { showCommand } from './show.js';
import { stackCommand } from './stack.js';
import { statusCommand } from './status.js';
import { undoCommand } from './undo.js';
import { validateCommand } from './validate.js';
import { verifyCommand } from './verify.js';
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
  root.version(version(), '--version', 'print the version');
  const commands = [
    runCommand(),
    addCommand(),
    markCommand(),
    statusCommand(),
    showCommand(),
    resolveCommand(),
    remedyCommand(),
    rehearseCommand(),
    undoCommand(),
    pauseCommand(),
    resumeCommand(),
    cancelCommand(),
    scheduleCommand(),
    ledgerCommand(),
    jobsCommand(),
    costCommand(),
    validateCommand(),
    doctorCommand(),
    stackCommand(),
    workerCommand(),
    mcpCommand(),
    compileModelsCommand(),
    serveCommand(),
    qualityCommand(),
    verifyCommand(),
  ];
  for (const command of commands) root.addCommand(command);
  return withExitOverride(root);
}

/** Commander would end the process itself with 1; bad usage is 2 here. */
function withExitOverride(command: Command): Command {
  command.exitOverride().configureOutput({
    outputError: (text, write) => write(`dayfill: ${usageSentence(text)}; see: ${fullName(command)} --help\n`),
  });
  for (const child of command.commands) withExitOverride(child as Command);
  return command;
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

/** Commander's complaint as one sentence that goes on. */
function usageSentence(text: string): string {
  const [first = ''] = text.replace(/^error: /, '').split('\n');
  return first
    .replace(/is invalid\. (.)/, (_, letter: string) => `is invalid: ${letter.toLowerCase()}`)
    .replace(/\.$/, '');
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

/** A reader that has seen enough (`| head`) ends the command as it would any other program: 128 + SIGPIPE. */
function endWhenNobodyReads(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(141);
    throw error;
  });
}

/** Runs one command line; resolves to its exit code. */
export async function main(argv: string[]): Promise<number> {
  endWhenNobodyReads(process.stdout);
  endWhenNobodyReads(process.stderr);
  // Node prints what libraries warn of; none of it is for the person at the command line.
  if (process.env.DAYFILL_LOG_LEVEL !== 'debug') process.removeAllListeners('warning');
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
  const clear = [StateError, StackError, NoTemporalError, ServeStartError];
  if (clear.some((kind) => error instanceof kind)) return [message, FAILED];
  return [`${message} (set DAYFILL_LOG_LEVEL=debug for more)`, FAILED];
}
