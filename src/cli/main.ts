import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { StateError, UsageError } from '../client/errors.js';
import { ConfigError } from '../config.js';
import { PartitionError, PipelineError } from '../pipeline/errors.js';
import { ServeStartError } from '../serve/start-error.js';
import { StackError } from '../stack/errors.js';

/** Exit codes: bad usage is told from what failed. */
const FAILED = 1;
const BAD_USAGE = 2;

/** By name, in the order of the help. A command is loaded when it is asked for: all of them take longer than most of them work. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  run: async () => (await import('./run.js')).runCommand(),
  add: async () => (await import('./add.js')).addCommand(),
  mark: async () => (await import('./mark.js')).markCommand(),
  status: async () => (await import('./status.js')).statusCommand(),
  show: async () => (await import('./show.js')).showCommand(),
  resolve: async () => (await import('./resolve.js')).resolveCommand(),
  remedy: async () => (await import('./remedy.js')).remedyCommand(),
  rehearse: async () => (await import('./rehearse.js')).rehearseCommand(),
  undo: async () => (await import('./undo.js')).undoCommand(),
  pause: async () => (await import('./pause.js')).pauseCommand(),
  resume: async () => (await import('./pause.js')).resumeCommand(),
  cancel: async () => (await import('./cancel.js')).cancelCommand(),
  schedule: async () => (await import('./schedule.js')).scheduleCommand(),
  ledger: async () => (await import('./ledger.js')).ledgerCommand(),
  jobs: async () => (await import('./jobs.js')).jobsCommand(),
  cost: async () => (await import('./cost.js')).costCommand(),
  validate: async () => (await import('./validate.js')).validateCommand(),
  doctor: async () => (await import('./doctor.js')).doctorCommand(),
  stack: async () => (await import('./stack.js')).stackCommand(),
  worker: async () => (await import('./worker.js')).workerCommand(),
  mcp: async () => (await import('./mcp.js')).mcpCommand(),
  'compile-models': async () => (await import('./compile-models.js')).compileModelsCommand(),
  serve: async () => (await import('./serve.js')).serveCommand(),
  quality: async () => (await import('./quality.js')).qualityCommand(),
  verify: async () => (await import('./verify.js')).verifyCommand(),
};

/** The program with the command of that name, or with all of them when there is none. */
async function program(name: string): Promise<Command> {
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
  const asked = Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]!] : Object.values(COMMANDS);
  for (const command of asked) root.addCommand(await command());
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
    const root = await program(argv[2] ?? '');
    await root.parseAsync(argv);
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
  const clear = [StateError, StackError, ServeStartError];
  if (clear.some((kind) => error instanceof kind)) return [message, FAILED];
  return [`${message} (set DAYFILL_LOG_LEVEL=debug for more)`, FAILED];
}
