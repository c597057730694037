import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { execa } from 'execa';
import { loadConfig } from '../../src/config.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { startBigQuery } from '../stack/fixtures/bigquery-emulator.js';
import { startDbt } from './dbt.js';

/** The Google Cloud project of the tests. */
export const PROJECT = 'identity-local';
const SAMPLE_TABLES = ['shopify_partner_app_events', 'gadget_shops', 'manual_events', 'gmail_messages'];
const WAREHOUSE = path.resolve('warehouse');
const MADE_ANEW = ['identity_quality', 'identity_suspects'];

/** An event that somebody typed in: identifiers of one person, by email unless they say otherwise (`phone:…`). */
export interface ManualEvent {
  id: string;
  identifiers: string[];
  /** @default 2025-01-01 */
  occurredAt?: string;
}

export interface DbtOptions {
  vars?: Record<string, unknown>;
  fullRefresh?: boolean;
}

/** What resolved_person_identifiers says of an identifier. */
export interface Resolved {
  node: number;
  person: number;
}

export interface Merge {
  change: string;
  from: number;
  to: number;
  edge: string;
}

/** The identity project on an emulator of its own; every client is a dataset prefix with sources of its own. */
export interface Identity {
  bigquery: BigQuery;
  /** Of BigQuery's emulator. */
  address: string;
  // biome-ignore lint/suspicious/noExplicitAny: rows have whatever columns the query names
  query(sql: string, params?: Record<string, unknown>): Promise<any[]>;
  /** Runs models of a client, or all of them, and gives the seconds of each. */
  run(client: string, select?: string, options?: DbtOptions): Promise<Record<string, number>>;
  /** Puts manual events into the client's raw data; they arrive on the day. */
  deliver(client: string, day: string, events: readonly ManualEvent[]): Promise<void>;
  /** Makes the sample sources' tables of a client. */
  sampleSources(client: string, ...options: string[]): Promise<void>;
  /** Lets rows of another client's sources arrive: those that `where` picks, at the time that they have there unless `at` is given. */
  arrive(client: string, from: string, options?: { where?: string; at?: string }): Promise<void>;
  resolved(client: string): Promise<Map<string, Resolved>>;
  merges(client: string): Promise<Merge[]>;
  /** Every row of every table of the client as text, clocks included, but those of tables that every build makes anew. */
  contents(client: string): Promise<Record<string, string[]>>;
  stop(): Promise<void>;
}

/** What is needed to tell who is who, and no more of the project. */
export const PERSONS_OF_IDENTIFIERS = '+resolved_person_identifiers entity_merges';

export async function startIdentity(clients: Record<string, string[]>): Promise<Identity> {
  const directory = mkdtempSync(path.join(tmpdir(), 'dayfill-identity-'));
  const { venv } = loadConfig();
  const emulator = await startBigQuery(venv, path.join(directory, 'bigquery'));
  const bigquery = bigQueryClients({ bigqueryEndpoint: emulator.address })(PROJECT);
  const env = {
    PATH: `${path.join(venv, 'bin')}${path.delimiter}${process.env.PATH}`,
    HOME: directory,
    DAYFILL_BIGQUERY_ENDPOINT: emulator.address,
    DBT_SEND_ANONYMOUS_USAGE_STATS: 'false',
  };
  // Two, so that one prepares SQL while the emulator is busy with the other's.
  const servers = [0, 1].map((place) =>
    startDbt('identity_resolution', venv, path.join(directory, `dbt-${place}`), env),
  );
  const names = Object.keys(clients);

  async function query(sql: string, params?: Record<string, unknown>) {
    const [rows] = await bigquery.query({ query: sql, location: 'US', ...(params ? { params } : {}) });
    return rows;
  }

  for (const client of names) {
    for (const layer of ['raw', 'identity']) await bigquery.createDataset(`${client}_${layer}`);
    await query(
      `create table ${client}_raw.manual_events (id string, occurred_at timestamp, event_name string, event_description string,
         value numeric, value_unit string, persons string, \`groups\` string, synced_at timestamp not null)`,
    );
  }

  return {
    bigquery,
    address: emulator.address,
    query,
    async run(client, select, { vars = {}, fullRefresh = false } = {}) {
      const all = { programmatic_client: client, project_id: PROJECT, client_sources: clients, ...vars };
      const command = ['build', '--exclude-resource-type', 'test', ...(fullRefresh ? ['--full-refresh'] : [])];
      if (select) command.push('--select', ...select.split(' '));
      const server = servers[names.indexOf(client) % servers.length]!;
      return server.invoke(command, ['--target', 'oauth', '--vars', JSON.stringify(all)]);
    },
    async deliver(client, day, events) {
      const rows = events.map(({ id, identifiers, occurredAt = '2025-01-01' }) => ({
        id,
        at: occurredAt,
        persons: JSON.stringify([{ identifiers: identifiers.map(typed) }]),
      }));
      await query(
        `insert into ${client}_raw.manual_events (id, occurred_at, event_name, persons, \`groups\`, synced_at)
         select json_extract_scalar(row_, '$.id'), timestamp(json_extract_scalar(row_, '$.at')), 'met',
           json_extract_scalar(row_, '$.persons'), '[]', timestamp(@day)
         from unnest(json_extract_array(@rows)) as row_`,
        { rows: JSON.stringify(rows), day },
      );
    },
    async sampleSources(client, ...options) {
      const args = ['-m', 'sample_sources', '--client', client, '--project', PROJECT, ...options];
      await execa(path.join(venv, 'bin/python'), args, { cwd: WAREHOUSE, env, extendEnv: false });
    },
    async arrive(client, from, { where = 'true', at = 'synced_at' } = {}) {
      for (const table of SAMPLE_TABLES) {
        const [to, source] = [`${client}_raw.${table}`, `${from}_raw.${table}`];
        await query(`create table if not exists ${to} as select * from ${source} where false`);
        await query(`insert into ${to} select * replace (${at} as synced_at) from ${source} where ${where}`);
      }
    },
    async resolved(client) {
      const rows = await query(
        `select identifier_type as type, identifier_value as value, node_id as node, person_id as person
         from ${client}_identity.resolved_person_identifiers`,
      );
      return new Map(rows.map(({ type, value, node, person }) => [`${type}:${value}`, { node, person }]));
    },
    merges: (client) =>
      query(
        `select change, from_entity_id as \`from\`, to_entity_id as \`to\`, edge_id as edge
         from ${client}_identity.entity_merges where entity_type = 'person' order by _ingested_at, 2, 3`,
      ),
    async contents(client) {
      const tables = await query(
        `select table_name as name from ${client}_identity.INFORMATION_SCHEMA.TABLES order by name`,
      );
      const all: Record<string, string[]> = {};
      for (const { name } of tables) {
        const columns = MADE_ANEW.includes(name) ? '* except (_ingested_at)' : '*';
        const rows = await query(
          `select to_json_string(t) as line from (select ${columns} from ${client}_identity.${name}) as t order by 1`,
        );
        all[name] = rows.map(({ line }) => line);
      }
      return all;
    },
    async stop() {
      await Promise.all(servers.map((server) => server.stop()));
      await emulator.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function typed(identifier: string): { type: string; value: string } {
  const [, type = 'email', value = ''] = /^(?:(\w+):)?(.*)$/.exec(identifier)!;
  return { type, value };
}

/** A union-find that knows nothing of SQL: for each name, the least name of its component. */
export function unionFind<T extends string | number>(links: Iterable<readonly T[]>): Map<T, T> {
  const parents = new Map<T, T>();
  const root = (name: T): T => {
    let top = name;
    while (parents.get(top) !== top) top = parents.get(top)!;
    for (let at = name; at !== top; ) {
      const next = parents.get(at)!;
      parents.set(at, top);
      at = next;
    }
    return top;
  };
  for (const names of links) {
    for (const name of names) if (!parents.has(name)) parents.set(name, name);
    for (const name of names.slice(1)) {
      const [least, other] = [root(names[0]!), root(name)].sort((a, b) => (a < b ? -1 : 1)) as [T, T];
      parents.set(other, least);
    }
  }
  return new Map([...parents.keys()].map((name) => [name, root(name)]));
}

/** A partition as text that is the same for the same partition, whatever its parts are called. */
export function parts(partOf: Iterable<readonly [string, unknown]>): string[] {
  const members = new Map<unknown, string[]>();
  for (const [name, part] of partOf) members.set(part, [...(members.get(part) ?? []), name]);
  return [...members.values()].map((names) => names.sort().join(' ')).sort();
}

/** The same numbers for the same seed. */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export function shuffled<T>(items: readonly T[], random: (below: number) => number): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}
