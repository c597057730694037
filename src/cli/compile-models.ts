import path from 'node:path';
import { Command } from 'commander';
import { loadConfig } from '../config.js';
import { clientName } from './client-name.js';

interface CompileCommandOptions {
  client: string;
  projectId: string;
  location: string;
  models?: string;
  projectDir: string;
  json?: boolean;
}

/** `dayfill compile-models`: what `dayfill serve` runs, made from the dbt project. */
export function compileModelsCommand(): Command {
  return new Command('compile-models')
    .description("compile a client's dbt models for single events, for dayfill serve")
    .option('--client <name>', 'whose models are compiled', clientName, 'headless')
    .option('--project-id <id>', 'the Google Cloud project', 'talbots-og-map-dev')
    .option('--location <name>', "BigQuery location of the client's datasets", 'US')
    .option('--models <file>', 'where they are written (default: <state dir>/models/<client>.json)')
    .option('--project-dir <dir>', 'the dbt project', 'warehouse/identity_resolution')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Needs dbt and no warehouse; takes about ten seconds. Run it when the dbt project has changed, then restart dayfill serve.

Example:
  dayfill compile-models --client headless --project-id my-project`,
    )
    .action(async ({ client, projectId, location, models, projectDir, json }: CompileCommandOptions) => {
      const config = loadConfig();
      const file = path.resolve(models ?? path.join(config.stateDir, 'models', `${client}.json`));
      const { compileModels } = await import('../serve/compile-models.js');
      const sources = await compileModels(config, {
        client,
        projectId,
        location,
        projectDir: path.resolve(projectDir),
        file,
      });
      console.log(json ? JSON.stringify({ client, file, sources }) : `Compiled ${sources.join(', ')} into ${file}`);
    });
}
