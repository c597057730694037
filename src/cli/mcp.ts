import { Command } from 'commander';
import { withDayfill } from './options.js';

/** `dayfill mcp`: the queue of waiting partitions for an agent. */
export function mcpCommand(): Command {
  return new Command('mcp')
    .description('serve what waits to an agent, by the Model Context Protocol on stdin and stdout')
    .option('--allow-decisions', 'let the agent decide too, not only look, rehearse and propose')
    .addHelpText(
      'after',
      `
A client starts it itself, with the settings of any other command. What is proposed here is approved elsewhere, with
--allow-decisions too.

Example: in the configuration of a client
  {
    "mcpServers": {
      "dayfill": {
        "command": "dayfill",
        "args": ["mcp"],
        "env": { "DAYFILL_PIPELINES": "/srv/shop/pipelines", "DAYFILL_STATE_DIR": "/srv/shop/.dayfill" }
      }
    }
  }`,
    )
    .action(async ({ allowDecisions = false }: { allowDecisions?: boolean }, command: Command) => {
      // Takes as long to load as all else together: only who needs it waits for it.
      const { serveMcp } = await import('../mcp/server.js');
      await withDayfill((dayfill) => serveMcp(dayfill, { allowDecisions, version: command.parent!.version() ?? '' }));
    });
}
