import { Command } from 'commander';
import { openPipelines } from '../client/pipelines.js';
import { type VerifyReport, verifyUploads } from '../client/verify.js';
import { loadConfig } from '../config.js';
import type { Vars } from '../contracts/ids.js';
import { Interruption } from './interruption.js';
import { printJson, varList } from './options.js';
import { sentence, table } from './tables.js';

/** More are in the JSON document. */
const SHOWN = 30;

/** `dayfill verify`: what a pipeline has uploaded is there, whole and right. */
export function verifyCommand(): Command {
  return new Command('verify')
    .description('check everything that a pipeline has uploaded: partitions, manifests, checksums, keys, size')
    .argument('<pipeline>', 'name of the pipeline')
    .option('--var <name=value>', 'a var of a run with others, or of a part of the calendar', varList)
    .option(
      '--json',
      'print one JSON document: {"pipeline","place","ok","tables","checks","problems","chunksToRunAgain",…}',
    )
    .addHelpText(
      'after',
      `
It copies what is in the bucket to the state folder, has the program of the pipeline's verify: check it, and removes the copy.
Exit code: 0 when all is well, 1 when there are problems or it could not be checked, 2 for bad usage.

Examples:
  dayfill verify backlog
  dayfill verify backlog --var end_date=2020-12-25 --json`,
    )
    .action((pipeline: string, options: { var?: Vars; json?: true }) => verify(pipeline, options));
}

async function verify(pipeline: string, { var: vars, json }: { var?: Vars; json?: true }): Promise<void> {
  const interruption = new Interruption();
  const files = openPipelines(loadConfig());
  try {
    const report = await verifyUploads(files, pipeline, { vars, onCopy, signal: interruption.signal });
    if (json) printJson(report);
    else console.log(reportText(report));
    if (!report.ok) process.exitCode = 1;
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    process.exitCode = interruption.exitCode;
  }
}

/** Copying takes its time. */
export function onCopy(objects: number, bytes: number): void {
  console.error(`Checking ${objects} objects of ${amount(bytes)}.`);
}

/** A report for people. */
export function reportText(report: VerifyReport): string {
  const { place, tables, checks, problems, chunksToRunAgain, objects, footprintBytes } = report;
  const lines = [
    `${place}: ${report.ok ? 'all is well' : `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`}`,
    table(
      ['table', 'partitions', 'expected', 'rows', 'bytes'],
      tables.map((one) => [
        one.table,
        String(one.partitions),
        one.expectedPartitions === null ? '' : String(one.expectedPartitions),
        String(one.rows),
        String(one.bytes),
      ]),
    ),
    table(
      ['check', 'problems'],
      checks.map((one) => [one.check, one.problems === 0 ? 'none' : String(one.problems)]),
    ),
    `footprint: ${objects} objects, ${footprintBytes} bytes (${amount(footprintBytes)})`,
    ...problems.slice(0, SHOWN).map(({ check, message, partition, file }) => {
      const where = [partition, file].filter((part) => part != null).join('/');
      return `${check}: ${where === '' ? '' : `${where}: `}${sentence(message, 200)}`;
    }),
    ...(problems.length > SHOWN ? [`… and ${problems.length - SHOWN} more: --json has all`] : []),
  ];
  if (chunksToRunAgain.length > 0) {
    lines.push(`Run again: dayfill run ${report.pipeline} --partitions ${chunksToRunAgain.join(',')} --force`);
  }
  return lines.join('\n');
}

function amount(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
