import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { loadConfig } from '../config.js';
import { clientName } from './client-name.js';

interface ServeCommandOptions {
  client: string;
  models?: string;
  projectDir: string;
  host: string;
  port: number;
  rateLimit: number;
  json?: boolean;
}

/** `dayfill serve`: the GraphQL API over a client's models. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('serve a GraphQL API that processes single events and looks up events and persons')
    .option('--client <name>', 'whose models are served', clientName, 'headless')
    .option('--models <file>', 'the compiled models (default: <state dir>/models/<client>.json)')
    .option('--project-dir <dir>', 'the dbt project that they were compiled from', 'warehouse/identity_resolution')
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--port <number>', 'the port; 0 for one that is free', portNumber, 4000)
    .option('--rate-limit <number>', 'requests a minute of each token', requestsAMinute, 120)
    .option('--json', 'say the address as one line of JSON')
    .addHelpText(
      'after',
      `
Callers need a token of DAYFILL_API_TOKEN. Ctrl-C lets calls under way end.

Example:
  DAYFILL_API_TOKEN=$(openssl rand -hex 32) dayfill serve --client headless`,
    )
    .action(async ({ client, models, projectDir, json, ...listening }: ServeCommandOptions) => {
      const config = loadConfig();
      const file = models ?? path.join(config.stateDir, 'models', `${client}.json`);
      // Takes as long to load as all else together: only who needs it waits for it.
      const { serve } = await import('../serve/server.js');
      await serve(config, {
        ...listening,
        models: { client, file: path.resolve(file), projectDir: path.resolve(projectDir) },
        onListening(address) {
          console.log(json ? JSON.stringify({ client, address }) : `Serving ${client} at ${address}/graphql`);
        },
      });
    });
}

function portNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) {
    throw new InvalidArgumentError('expected a whole number from 0 to 65535');
  }
  return Number(text);
}

function requestsAMinute(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1 to 999999');
  return Number(text);
}
