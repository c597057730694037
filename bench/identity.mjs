import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BigQuery } from '@google-cloud/bigquery';
import { execa } from 'execa';
import getPort from 'get-port';
import { PassThroughClient } from 'google-auth-library';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const PROJECT = 'identity-bench';
const MODEL = 'resolved_person_identifiers';
const PYTHON = path.join(process.env.DAYFILL_VENV ?? path.join(ROOT, '.dayfill', 'venv'), 'bin/python');

/**
 * What resolving identities costs: a graph of 1,000,000 identifiers and 1,500,000 edges from nothing, and a day that adds 0.1 %,
 * by the dbt model on an emulator of its own, beside a union-find in Python on the same edges.
 */
export async function identity({ log }) {
  const directory = await mkdtemp(path.join(tmpdir(), 'dayfill-bench-'));
  const address = `http://127.0.0.1:${await getPort()}`;
  const emulator = spawn(
    PYTHON,
    [
      path.join(ROOT, 'warehouse/emulators/bigquery.py'),
      ...['--port', new URL(address).port, '--data-dir', directory, '--storage-root', path.join(directory, 'storage')],
    ],
    { stdio: 'ignore' },
  );
  try {
    await ready(emulator, `${address}/readyz`);
    const bigquery = new BigQuery({ projectId: PROJECT, apiEndpoint: address, authClient: new PassThroughClient() });
    const query = async (sql) => (await bigquery.query({ query: sql, location: 'US' }))[0];
    const build = (...args) => dbt(directory, address, args);

    const { stdout } = await execa(PYTHON, [path.join(ROOT, 'bench/identity_graph.py'), PROJECT], {
      env: { DAYFILL_BIGQUERY_ENDPOINT: address },
    });
    const beside = JSON.parse(stdout);
    await bigquery.createDataset('bench_identity');
    await query(EMPTY_SOURCE);
    await build('--select', `+${MODEL}`, 'entity_merges');
    await query(nodes());
    await query(edgesOf(1));
    const full = { seconds: await build('--full-refresh', '--select', MODEL) };
    Object.assign(full, (await query(`${await lastScript(bigquery)} select max(step) as rounds from cc_steps;`))[0]);
    Object.assign(
      full,
      (await query(`select count(*) as written, count(distinct person_id) as persons from ${RESOLVED}`))[0],
    );

    // A day of nothing, for the script as a later day runs it.
    await build('--select', MODEL);
    const script = await lastScript(bigquery);
    await query(edgesOf(2));
    // It may run before the build does: a build that is repeated logs nothing twice.
    const [graph] = await query(
      `${script} select (select max(step) from cc_steps) as rounds, count(*) as edgesRead from cc_joins;`,
    );
    const day = { seconds: await build('--select', MODEL), ...graph };
    const [written] = await query(
      `select countif(_ingested_at > built) as written, count(distinct person_id) as persons
       from ${RESOLVED} cross join (select min(_ingested_at) as built from ${RESOLVED}) as first_build`,
    );
    Object.assign(day, written);
    const right = full.persons === beside.full.persons && day.persons === beside.day.persons;
    if (!right) throw new Error(`The model finds other persons: ${JSON.stringify({ full, day, beside })}`);

    const figures = { identifiers: beside.identifiers, edges: beside.edges, full, day, beside };
    log(`${figures.identifiers} identifiers, ${figures.edges} edges, on this machine`);
    log(`  full   ${full.seconds} s, ${full.rounds} rounds, ${full.written} rows written, ${full.persons} persons`);
    log(`  a day  ${day.seconds} s, ${day.rounds} rounds, ${day.edgesRead} edges read, ${day.written} rows written`);
    log(`  union-find in Python on the same edges, full ${beside.full.seconds} s`);
    return figures;
  } finally {
    emulator.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  }
}

const RESOLVED = `bench_identity.${MODEL}`;

const EMPTY_SOURCE = `create table bench_raw.manual_events (id string, occurred_at timestamp, event_name string,
  event_description string, value numeric, value_unit string, persons string, \`groups\` string, synced_at timestamp not null)`;

const email = (node) => `concat('n', cast(${node} as string), '@example.com')`;

const nodes =
  () => `insert into bench_identity.person_nodes (node_id, identifier_type, identifier_value, _realtime, _ingested_at)
  select node, 'email', ${email('node')}, false, current_timestamp()
  from (select a as node from bench_raw.edges union distinct select b from bench_raw.edges) as ends`;

/** The model before, as far as the graph goes. */
const edgesOf = (
  day,
) => `insert into bench_identity.person_edges (edge_id, identifier_type_a, identifier_value_a, identifier_type_b,
    identifier_value_b, node_a, node_b, occurred_at, source, event_id, synced_at, _removed, _realtime, _ingested_at)
  select to_hex(md5(concat(cast(a as string), '|', cast(b as string), '|', cast(place as string)))), 'email', ${email('a')}, 'email', ${email('b')}, a, b,
    timestamp '2025-01-01', 'bench', '1', timestamp '2025-01-01', false, false, current_timestamp()
  from (select a, b, row_number() over () as place from bench_raw.edges where day = ${day}) as edges`;

async function ready(emulator, url) {
  const answers = () =>
    fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await answers())) {
    if (emulator.exitCode !== null) throw new Error('The BigQuery emulator ended at once.');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Runs models and gives the seconds of the one that is measured, as dbt has them. */
async function dbt(directory, address, args) {
  const vars = { programmatic_client: 'bench', project_id: PROJECT, client_sources: { bench: ['manual'] } };
  await execa(
    path.join(path.dirname(PYTHON), 'dbt'),
    ['build', '--exclude-resource-type', 'test', '--target', 'oauth', '--vars', JSON.stringify(vars), ...args],
    {
      cwd: path.join(ROOT, 'warehouse/identity_resolution'),
      env: { DAYFILL_BIGQUERY_ENDPOINT: address, DBT_TARGET_PATH: directory, DBT_LOG_PATH: directory },
    },
  );
  const { results } = JSON.parse(await readFile(path.join(directory, 'run_results.json'), 'utf8'));
  const { execution_time } = results.find(({ unique_id }) => unique_id.endsWith(`.${MODEL}`));
  return Math.round(execution_time * 100) / 100;
}

/** The script that ran before the model was last built, as BigQuery got it. */
async function lastScript(bigquery) {
  const [jobs] = await bigquery.getJobs({ maxResults: 20, projection: 'full' });
  return jobs.map(({ metadata }) => metadata.configuration.query?.query ?? '').find((sql) => sql.includes('cc_steps'));
}
