import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BigQuery } from '@google-cloud/bigquery';
import { execa } from 'execa';
import { PassThroughClient } from 'google-auth-library';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const PROJECT = 'talbots-og-map-dev';
const TOKEN = 'token-of-the-benchmark';
const EVENTS = 20;
const DBT_RUNS = 3;
/** Days of events of so many persons. */
const SIZES = [
  { days: 3, people: 100 },
  { days: 20, people: 300 },
];

/**
 * Seconds of `processEvent` for notes of a salesperson, the events with most to do, beside `dbt run` for single events of the same
 * kind, in a small and in a larger warehouse, and the warehouse jobs of each.
 * @returns {Promise<object[]>} for each size: identifiers, p50, p99 and dbt in seconds, jobsPerEvent, dbtJobs, ratio
 */
export async function processEvent({ log }) {
  const figures = [];
  for (const size of SIZES) {
    const found = await measure(size);
    figures.push(found);
    log(`${found.identifiers} identifiers of persons`);
    log(
      `  processEvent  p50 ${found.p50} s, p99 ${found.p99} s of ${EVENTS}; ${found.jobsPerEvent} warehouse job per event`,
    );
    log(`  dbt run       ${found.dbt} s, the fastest of ${DBT_RUNS}; ${found.dbtJobs} warehouse jobs`);
    log(`  ratio         ${found.ratio}`);
  }
  return figures;
}

async function measure({ days, people }) {
  const stateDir = await mkdtemp(path.join(tmpdir(), 'dayfill-bench-'));
  const venv = process.env.DAYFILL_VENV ?? path.join(ROOT, '.dayfill', 'venv');
  const env = {
    DAYFILL_STATE_DIR: stateDir,
    DAYFILL_VENV: venv,
    DAYFILL_API_TOKEN: TOKEN,
    DAYFILL_LOG_LEVEL: 'warn',
    DBT_TARGET_PATH: path.join(stateDir, 'target'),
    DBT_LOG_PATH: path.join(stateDir, 'logs'),
  };
  const dayfill = (...args) =>
    execa(process.execPath, [path.join(ROOT, 'bin/dayfill.js'), ...args], {
      env,
      cwd: ROOT,
      buffer: !args.includes('serve'),
    });
  let serving;
  try {
    await dayfill('stack', 'up', '--no-worker');
    const { services } = JSON.parse((await dayfill('stack', 'status', '--json')).stdout);
    env.DAYFILL_BIGQUERY_ENDPOINT = services.find(({ name }) => name === 'bigquery').address;
    const bigquery = new BigQuery({
      projectId: PROJECT,
      apiEndpoint: env.DAYFILL_BIGQUERY_ENDPOINT,
      authClient: new PassThroughClient(),
    });
    const jobs = async (labels) =>
      (await bigquery.getJobs({ projection: 'full', maxResults: 10_000 }))[0].filter(({ metadata }) =>
        labels(metadata.configuration.labels ?? {}),
      ).length;
    const dbt = (...args) =>
      execa(path.join(venv, 'bin', 'dbt'), [...args, '--target=oauth'], {
        env,
        cwd: path.join(ROOT, 'warehouse', 'identity_resolution'),
      });
    const vars = { programmatic_client: 'headless', project_id: PROJECT, refresh_date: '2020-01-01' };

    await execa(
      path.join(venv, 'bin', 'python'),
      ['-m', 'sample_sources', '--days', String(days), '--people', String(people)],
      {
        env,
        cwd: path.join(ROOT, 'warehouse'),
      },
    );
    await dbt('build', '--exclude-resource-type', 'test', 'unit_test', '--vars', JSON.stringify(vars));
    await dayfill('compile-models');
    serving = dayfill('serve', '--port', '0', '--json', '--rate-limit', '999999');
    const [line] = await once(createInterface(serving.stdout), 'line');
    const { address } = JSON.parse(line);

    const [known] = await bigquery.query(
      `select identifier_value as email from headless_identity.resolved_person_identifiers
       where identifier_type = 'email' order by node_id limit ${EVENTS + DBT_RUNS}`,
    );
    const [[{ identifiers }]] = await bigquery.query(
      'select count(*) as identifiers from headless_identity.resolved_person_identifiers',
    );
    // Each gives a known person one more address.
    const notes = known.map(({ email }, index) => ({
      id: `note-${index}`,
      persons: JSON.stringify([{ identifiers: [email, `more.${email}`].map((value) => ({ type: 'email', value })) }]),
    }));
    await bigquery.query({
      query: `insert into headless_raw.manual_events (id, occurred_at, event_name, persons, \`groups\`, synced_at)
        select n.id, timestamp '2025-08-31', 'met', n.persons, '[]', timestamp '2025-08-31' from unnest(@notes) as n`,
      params: { notes },
    });

    const seconds = [];
    for (const { id } of notes.slice(0, EVENTS)) {
      seconds.push(await secondsOf(() => processOne(address, id)));
    }
    seconds.sort((a, b) => a - b);
    const jobsPerEvent = (await jobs(({ dayfill_operation }) => dayfill_operation === 'process_event')) / EVENTS;
    const runs = [];
    const before = await jobs(() => true);
    for (const { id } of notes.slice(EVENTS)) {
      runs.push(await secondsOf(() => dbt('run', '--vars', JSON.stringify({ ...vars, event_id: id }))));
    }
    const dbtJobs = Math.round(((await jobs(() => true)) - before) / DBT_RUNS);
    const p50 = seconds[Math.floor(EVENTS / 2)];
    const fastest = Math.min(...runs);
    return {
      ...{ identifiers, p50: round(p50), p99: round(seconds[Math.ceil(EVENTS * 0.99) - 1]), jobsPerEvent },
      ...{ dbt: round(fastest), dbtJobs, ratio: round(fastest / p50) },
    };
  } finally {
    serving?.kill();
    await serving?.catch(() => {});
    await dayfill('stack', 'down');
    await rm(stateDir, { recursive: true, force: true });
  }
}

async function processOne(address, id) {
  const response = await fetch(`${address}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      query: 'mutation ($id: ID!) { processEvent(source: "manual", id: $id) { success } }',
      variables: { id },
    }),
  });
  const { data, errors } = await response.json();
  if (data?.processEvent?.success !== true) throw new Error(JSON.stringify(errors));
}

async function secondsOf(work) {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

function round(value) {
  return Math.round(value * 100) / 100;
}
