import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { UsageError } from '../client/errors.js';
import { type QualityReport, readQuality } from '../client/quality.js';
import { loadConfig } from '../config.js';
import { printJson } from './options.js';
import { qualityPage } from './quality-page.js';
import { biggest, measures, suspects, unlisted } from './quality-rows.js';
import { table } from './tables.js';

interface QualityOptions {
  client: string;
  projectId: string;
  json?: true;
  page?: string;
}

/** `dayfill quality`: how well a client's identities are resolved. */
export function qualityCommand(): Command {
  return new Command('quality')
    .description('how well identities are resolved: entities, merges, sizes, suspects')
    .option('--client <name>', 'whose identities', 'headless')
    .option('--project-id <project>', 'the Google Cloud project', 'talbots-og-map-dev')
    .option(
      '--json',
      'print one JSON document: {"client","project","measuredAt","measures":[…],"suspects":[…],"suspectsFound"}',
    )
    .option('--page <file>', 'also write it as a page for a browser')
    .addHelpText(
      'after',
      `
It is measured by each dbt build of warehouse/identity_resolution.

Examples:
  dayfill quality --client headless
  dayfill quality --client talbots --page quality.html`,
    )
    .action(async ({ client, projectId, json, page }: QualityOptions) => {
      const report = await readQuality(loadConfig(), { client, project: projectId });
      if (page !== undefined) writePage(page, report);
      if (json) return printJson(report);
      console.log(text(report));
      if (page !== undefined) console.log(`The page is ${page}.`);
    });
}

function text(report: QualityReport): string {
  const found = suspects(report);
  return [
    `${report.client}, measured ${report.measuredAt}`,
    table(...measures(report)),
    'Biggest:',
    table(...biggest(report)),
    'Suspects:',
    found[1].length === 0 ? 'none' : table(...found),
    ...unlisted(report),
  ].join('\n');
}

function writePage(file: string, report: QualityReport): void {
  try {
    writeFileSync(file, qualityPage(report));
  } catch (error) {
    throw new UsageError(`The page cannot be written: ${(error as Error).message}.`);
  }
}
