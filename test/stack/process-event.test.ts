import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { execa } from 'execa';
import { loadConfig } from '../../src/config.js';
import { type Identity, PROJECT, startIdentity } from '../support/identity.js';
import { ODD_ID } from './fixtures/headless.js';
import { type Served, startServe } from './fixtures/served.js';

const SOURCES = ['gadget', 'gmail', 'manual', 'shopify_partner'];
const TABLES = ['gadget_shops', 'gmail_messages', 'manual_events', 'shopify_partner_app_events'];
const PROCESS =
  'mutation ($source: String!, $id: ID!) { processEvent(source: $source, id: $id) { success processedAt } }';
const EVENT = 'query ($id: ID!) { event(id: $id) { id eventName source } }';
const PERSON = 'query ($identifier: String!) { person(identifier: $identifier) { id emails phones events sources } }';

let directory: string;
let identity: Identity;
let served: Served;

/** Two days in the warehouse of `headless`, which is served, and of `plain`, which is not; a third day is delivered to both. */
beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-process-event-'));
  identity = await startIdentity({ headless: SOURCES, plain: SOURCES });
  await sampleSources('--days', '2');
  await Promise.all([identity.run('headless'), identity.run('plain')]);
  await sampleSources('--only-day', '2025-07-03');
  const env = {
    DAYFILL_STATE_DIR: directory,
    DAYFILL_VENV: loadConfig().venv,
    DAYFILL_BIGQUERY_ENDPOINT: identity.address,
    PATH: process.env.PATH!,
  };
  await execa(process.execPath, [path.resolve('bin/dayfill.js'), 'compile-models', '--project-id', PROJECT], {
    env,
    extendEnv: false,
  });
  served = await startServe(env, '--rate-limit', '999999');
});
afterAll(async () => {
  served?.kill('SIGKILL');
  await identity?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const sampleSources = (...args: string[]) =>
  Promise.all(['headless', 'plain'].map((client) => identity.sampleSources(client, '--people', '40', ...args)));

const query: Identity['query'] = (...args) => identity.query(...args);

const processed = async (source: string, id: string) => {
  const { data, errors } = await served.ask(PROCESS, { source, id });
  expect(errors).toEqual([]);
  return data?.processEvent;
};

// biome-ignore lint/suspicious/noExplicitAny: what GraphQL answers
const persons = async (identifier: string): Promise<any[]> => {
  const { data, errors } = await served.ask(PERSON, { identifier });
  expect(errors).toEqual([]);
  return data?.person as never;
};

const eventJobs = async (source: string) => {
  const [jobs] = await identity.bigquery.getJobs({ projection: 'full' });
  return jobs.filter(({ metadata }) => metadata.configuration?.labels?.dayfill_source === source).length;
};

/** A manual event that names one person, to both clients, after the batches that were delivered. */
async function typeIn(id: string, ...emails: string[]) {
  const identifiers = emails.map((value) => ({ type: 'email', value }));
  for (const client of ['headless', 'plain']) {
    await query(
      `insert into ${client}_raw.manual_events (id, occurred_at, event_name, persons, \`groups\`, synced_at)
       values (@id, timestamp '2025-07-03 12:00:00', 'met', @persons, '[]', timestamp '2025-07-03 23:30:00')`,
      { id, persons: JSON.stringify([{ identifiers, traits: { name: 'Ada' } }]) },
    );
  }
}

/** Whether the client's raw models have read everything that was delivered. */
const unread = async (client: string) =>
  (
    await Promise.all(
      TABLES.map((table) =>
        query(`select id from ${client}_raw.${table} except distinct select id from ${client}_identity.${table}_raw`),
      ),
    )
  ).flat().length;

test.each(SOURCES.map((source, index) => [source, TABLES[index]!]))(
  'an event of %s goes through all layers in one job, and again changes nothing',
  async (source, table) => {
    const [{ id }] = await query(
      `select min(id) as id from headless_raw.${table} where date(synced_at) = '2025-07-03'
         and id not in (select id from headless_identity.${table}_raw)`,
    );
    expect(await processed(source, id)).toMatchObject({ success: true });
    expect(await eventJobs(source)).toBe(1);
    expect((await served.ask(EVENT, { id })).data).toMatchObject({ event: { id, source } });
    const facts = await contents('headless', true);
    expect(await processed(source, id)).toMatchObject({ success: true });
    expect(await contents('headless', true)).toEqual(facts);
    expect(await unread('headless')).toBeGreaterThan(0);
  },
  60_000,
);

test('persons that an event shows to be one are one within the call, and the younger id is logged', async () => {
  const apart = await query(
    `select person_id, any_value(identifier_value) as email from headless_identity.resolved_person_identifiers
     join headless_identity.persons using (person_id)
     where identifier_type = 'email' group by person_id order by person_id limit 2`,
  );
  const [older, younger] = apart;
  await typeIn(ODD_ID, older.email, younger.email, 'ada.new@example.com');
  await processed('manual', ODD_ID);
  const [person, ...others] = await persons(' Ada.New@Example.com ');
  expect(others).toEqual([]);
  expect(person.id).toBe(String(older.person_id));
  expect(person.emails).toEqual(expect.arrayContaining([older.email, younger.email, 'ada.new@example.com']));
  expect(await persons(younger.email)).toEqual([person]);
  expect(
    await query(
      `select from_entity_id, to_entity_id from headless_identity.entity_merges
       where entity_type = 'person' and change = 'merged' and from_entity_id = ${younger.person_id}`,
    ),
  ).toEqual([{ from_entity_id: younger.person_id, to_entity_id: older.person_id }]);
});

test('dbt takes a single event by the same models', async () => {
  await typeIn('met-1', 'grace@example.com', 'grace.hopper@example.com');
  const before = await unread('headless');
  await identity.run('headless', undefined, { vars: { event_id: 'met-1' } });
  expect(await persons('grace@example.com')).toMatchObject([
    { emails: ['grace.hopper@example.com', 'grace@example.com'], events: 1, sources: ['manual'] },
  ]);
  expect(await unread('headless')).toBe(before - 1);
});

test('the next batch reads what no event has brought, and ends as if there had been none', async () => {
  expect(await unread('headless')).toBeGreaterThan(0);
  await Promise.all([identity.run('headless'), identity.run('plain')]);
  expect(await unread('headless')).toBe(0);
  expect(await contents('headless')).toEqual(await contents('plain'));
  const left = TABLES.map((table) => `select id from headless_identity.${table}_raw where _realtime`).join(
    ' union all ',
  );
  expect(await query(left)).toEqual([]);
});

/** What the final tables say, by what entities are called instead of their ids; with those of every model, if asked. */
async function contents(client: string, exactly = false): Promise<Record<string, unknown[]>> {
  const dataset = `${client}_identity`;
  const named = {
    persons: `select * except (person_id, _realtime, _ingested_at) from ${dataset}.persons`,
    groups: `select * except (group_id, _realtime, _ingested_at) from ${dataset}.\`groups\``,
    memberships: `select m.role, m.source, m.occurred_at, m.person_name, m.group_name, p.emails, g.domains
      from ${dataset}.memberships as m join ${dataset}.persons as p using (person_id) join ${dataset}.\`groups\` as g using (group_id)`,
    events: `select * except (synced_at, source_ingested_at, _realtime, _ingested_at) from ${dataset}.events`,
    edges: `select edge_id, source, event_id from ${dataset}.person_edges where not _removed`,
  };
  const exact = Object.fromEntries(
    ['resolved_person_identifiers', 'resolved_group_identifiers', 'entity_merges', 'person_traits'].map((table) => [
      table,
      `select * except (${table === 'person_traits' ? 'source_ingested_at, ' : ''}_ingested_at) from ${dataset}.${table}`,
    ]),
  );
  const found = Object.entries({ ...named, ...(exactly ? exact : {}) }).map(async ([name, sql]) => {
    const rows = await query(`select to_json_string(t) as line from (${sql}) as t`);
    return [name, rows.map(({ line }) => line).sort()] as const;
  });
  return Object.fromEntries(await Promise.all(found));
}
