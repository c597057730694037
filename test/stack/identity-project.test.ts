import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { execa } from 'execa';
import { loadConfig } from '../../src/config.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { type BigQueryEmulator, startBigQuery } from './fixtures/bigquery-emulator.js';

const PROJECT = 'talbots-og-map-dev';
/** One client that delivers all sources, so that one build makes every model. */
const VARS = {
  programmatic_client: 'headless',
  project_id: PROJECT,
  client_sources: { headless: ['shopify_partner', 'gadget', 'manual', 'gmail', 'talbots'] },
};
const CONVERSIONS = `create table headless_crm.conversions (
  conversion_date date, conversion_id string, order_id string, email string, phone string, loyalty_id string, store string,
  amount numeric, currency string, channel string, converted_at timestamp, updated_at timestamp)`;
/** Folders of each layer. */
const LAYERS = {
  source_layer: ['raw', 'events'],
  core_layer: ['core'],
  identity: ['identity'],
  marts: ['marts', 'quality'],
};
const PARTS = 'events|person_identifiers|person_traits|group_identifiers|group_traits|membership_identifiers';

interface Node {
  resource_type: string;
  name: string;
  fqn: string[];
  path: string;
  description: string;
  columns: Record<string, { description: string }>;
  config: { unique_key: string | string[] | null };
  contract: { enforced: boolean };
  attached_node?: string;
  test_metadata?: { name: string; kwargs: { column_name?: string } };
}

const warehouse = path.resolve('warehouse');
const projectDir = path.join(warehouse, 'identity_resolution');
const { venv } = loadConfig();
const python = path.join(venv, 'bin/python');

let directory: string;
let emulator: BigQueryEmulator;
let bigquery: BigQuery;
let environment: NodeJS.ProcessEnv;
let built: string;
let nodes: Record<string, Node>;
let models: Node[];

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dayfill-identity-'));
  emulator = await startBigQuery(venv, path.join(directory, 'bigquery'));
  bigquery = bigQueryClients({ bigqueryEndpoint: emulator.address })(PROJECT);
  environment = {
    PATH: `${path.join(venv, 'bin')}${path.delimiter}${process.env.PATH}`,
    HOME: directory,
    DAYFILL_BIGQUERY_ENDPOINT: emulator.address,
    DBT_TARGET_PATH: path.join(directory, 'target'),
    DBT_LOG_PATH: path.join(directory, 'logs'),
    DBT_SEND_ANONYMOUS_USAGE_STATS: 'false',
  };
  await run(warehouse, python, ['-m', 'sample_sources', '--days', '2', '--people', '40']);
  await bigquery.createDataset('headless_crm');
  await bigquery.query(CONVERSIONS);
  built = await dbt(['build'], VARS);
  const manifest = await readFile(path.join(directory, 'target/manifest.json'), 'utf8');
  nodes = JSON.parse(manifest).nodes;
  models = Object.values(nodes).filter((node) => node.resource_type === 'model');
});

afterAll(async () => {
  await emulator?.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Runs a command to its end, which must be a good one, and gives what it says. */
async function run(cwd: string, file: string, args: string[]): Promise<string> {
  const { all, exitCode } = await execa(file, args, {
    cwd,
    env: environment,
    extendEnv: false,
    reject: false,
    all: true,
  });
  if (exitCode !== 0) throw new Error(all);
  return all;
}

const dbt = (args: string[], vars: Record<string, unknown>) =>
  run(projectDir, 'dbt', [...args, '--target=oauth', '--warn-error', '--vars', JSON.stringify(vars)]);

const folder = (model: Node) => model.fqn.at(-2)!;
const names = (found: Node[]) => found.map(({ name }) => name).sort();

test('every model, seed and column is described, and every column that is described is there', async () => {
  const [rows] = await bigquery.query(
    'select table_name, column_name from headless_identity.INFORMATION_SCHEMA.COLUMNS order by ordinal_position',
  );
  const there: Record<string, string[]> = {};
  for (const { table_name: table, column_name: column } of rows) {
    there[table] = [...(there[table] ?? []), column];
  }
  delete there.restored_conversion; // a table that is no model
  const tables = Object.values(nodes).filter(({ resource_type: type }) => type === 'model' || type === 'seed');
  expect(Object.fromEntries(tables.map(({ name, columns }) => [name, Object.keys(columns)]))).toEqual(there);
  const unsaid = tables.flatMap(({ name, description, columns }) =>
    [[name, description], ...Object.entries(columns).map(([column, said]) => [`${name}.${column}`, said.description])]
      .filter(([, said]) => !said)
      .map(([what]) => what),
  );
  expect(unsaid).toEqual([]);
});

test('every model is tested to be unique by its key, and applications have contracts', () => {
  const unique = Object.values(nodes)
    .filter(({ test_metadata: metadata }) => metadata?.name === 'unique')
    .map((node) => [nodes[node.attached_node!]!.name, node.test_metadata!.kwargs.column_name]);
  const keys = models.map(({ name, config }) => [
    name,
    Array.isArray(config.unique_key) ? `concat(${config.unique_key.join(", ' ', ")})` : config.unique_key,
  ]);
  expect(unique.sort()).toEqual(keys.sort());
  expect(names(models.filter(({ contract }) => contract.enforced))).toEqual(
    expect.arrayContaining(['groups', 'memberships', 'persons']),
  );
});

test('the selectors select their layers, and files are named and placed by their source', async () => {
  const program = `
import json, sys
from dbt.cli.main import dbtRunner
vars, *selectors = sys.argv[1:]
given = ["--target=oauth", "--vars", vars]
manifest = dbtRunner().invoke(["--quiet", "parse", *given]).result
listed = {
    name: dbtRunner(manifest=manifest).invoke(["--quiet", "ls", "--resource-type=model", "--output=name", "--selector", name, *given]).result
    for name in selectors
}
print(json.dumps(listed))`;
  const said = await run(projectDir, python, ['-c', program, JSON.stringify(VARS), ...Object.keys(LAYERS)]);
  const listed: Record<string, string[]> = JSON.parse(said.trim().split('\n').at(-1)!);
  for (const [selector, folders] of Object.entries(LAYERS)) {
    expect(listed[selector]!.sort()).toEqual(names(models.filter((model) => folders.includes(folder(model)))));
  }

  const ofSources = models.filter((model) => LAYERS.source_layer.includes(folder(model)));
  expect(new Set(ofSources.map(({ fqn }) => fqn[1]))).toEqual(new Set(VARS.client_sources.headless));
  for (const { name, fqn, path: file } of ofSources) {
    const [, source, layer] = fqn;
    expect(file).toBe(`${source}/${layer}/${name}.sql`);
    // What Shopify sends is parsed once, for the models beside it.
    expect(name).toMatch(new RegExp(layer === 'raw' ? `^${source}_\\w+_raw$` : `^${source}_(${PARTS}|app_events)$`));
  }
});

test('dbt makes its documentation without a warning', async () => {
  expect(await dbt(['docs', 'generate', '--empty-catalog'], VARS)).toContain('Catalog written');
});

test('the diagram is that of the models', async () => {
  const drawn = await run(projectDir, python, ['diagram.py', path.join(directory, 'target/manifest.json')]);
  expect(`${drawn}\n`).toBe(await readFile(path.join(projectDir, 'docs/diagram.md'), 'utf8'));
});

// Last: another var makes dbt read the whole project again.
test('a build is without unit tests, which pass when they are asked for', async () => {
  expect(built).toMatch(/Done\. PASS=\d+ WARN=0 ERROR=0 SKIP=0/);
  expect(built).not.toContain('unit_test');
  const said = await dbt(['test', '--select', 'test_type:unit'], { ...VARS, unit_tests: true });
  expect(said).toMatch(/Finished running .* \d\d unit tests/);
});
