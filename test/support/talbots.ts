import { createHash } from 'node:crypto';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { execa } from 'execa';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import type { TestStack } from './stack.js';

const COMMAND = path.resolve('bin/dayfill.js');
const PROJECT = 'talbots-og-map-dev';
const DATASETS = ['talbots_landing', 'talbots_crm', 'talbots_identity'];

/** Runs the command line on the stack, as from a script: no terminal. Gives exit code, stdout and stderr. */
export function dayfill(stack: TestStack, ...args: string[]) {
  return execa(process.execPath, [COMMAND, ...args], { env: stack.env, extendEnv: false, reject: false });
}

/** The JSON document that a command prints; its exit code is not looked at. */
export async function dayfillJson(stack: TestStack, ...args: string[]) {
  const { stdout, stderr } = await dayfill(stack, ...args, '--json');
  if (stdout === '') throw new Error(`dayfill ${args.join(' ')} printed nothing: ${stderr}`);
  return JSON.parse(stdout);
}

/** Delivers sample files to the landing bucket of the stack; the arguments are those of `python -m sample_files`. */
export async function sampleFiles(stack: TestStack, ...args: string[]): Promise<void> {
  const { venv, storageEndpoint } = stack.config();
  await execa(path.join(venv, 'bin/python'), ['-m', 'sample_files', ...args], {
    cwd: path.resolve('warehouse'),
    env: { DAYFILL_STORAGE_ENDPOINT: storageEndpoint!, STORAGE_EMULATOR_HOST: storageEndpoint! },
  });
}

export function talbotsBigQuery(stack: TestStack): BigQuery {
  return bigQueryClients(stack.config())(PROJECT);
}

// biome-ignore lint/suspicious/noExplicitAny: rows have whatever columns the query names
export async function query(stack: TestStack, sql: string): Promise<any[]> {
  const [rows] = await talbotsBigQuery(stack).query({ query: sql, location: 'US' });
  return rows;
}

/** What a table holds: how many rows, and a hash of all of them in an order of their own. */
export interface TableContents {
  rows: number;
  sha256: string;
}

/** When a row was read or written, which differs between two runs of the same day. */
const CLOCK_COLUMNS = ['synced_at', 'source_ingested_at', '_ingested_at'];

/** Every table of Talbots that there is, temporary ones that someone left behind included. No column is left out but the clock's. */
export async function talbotsTables(stack: TestStack): Promise<Record<string, TableContents>> {
  const found = await Promise.all(
    DATASETS.map((dataset) => query(stack, `select table_name from ${dataset}.INFORMATION_SCHEMA.TABLES`)),
  );
  const names = found.flatMap((rows, index) => rows.map(({ table_name: name }) => `${DATASETS[index]}.${name}`));
  const contents: Record<string, TableContents> = {};
  for (const name of names.sort()) {
    const rows = await query(stack, `select to_json_string(t) as line from \`${name}\` as t`);
    const lines = rows.map(({ line }) => withoutClocks(line)).sort();
    contents[name] = { rows: lines.length, sha256: createHash('sha256').update(lines.join('\n')).digest('hex') };
  }
  return contents;
}

function withoutClocks(line: string): string {
  const row = JSON.parse(line);
  for (const column of CLOCK_COLUMNS) delete row[column];
  return JSON.stringify(row);
}

/** Removes everything of Talbots from the warehouse; the ledger keeps what it knows. */
export async function dropTalbotsTables(stack: TestStack): Promise<void> {
  await Promise.all(DATASETS.map((name) => talbotsBigQuery(stack).dataset(name).delete({ force: true })));
}
