import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BigQuery } from '@google-cloud/bigquery';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { execa } from 'execa';
import type { QualityReport } from '../../src/client/quality.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { CommandLine } from '../support/command-line.js';
import { startTestStack, type TestStack } from '../support/stack.js';

const PROJECT = 'talbots-og-map-dev';
const LIMIT = 5;
const TWINS = 'twins@example.com';
const RENAMED = 'renamed@example.com';
const SPELT = 'spelt@example.com';

let stack: TestStack;
let directory: string;
let bigquery: BigQuery;
let cli: CommandLine;

beforeAll(async () => {
  stack = await startTestStack({ services: ['bigquery'] });
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-quality-'));
  bigquery = bigQueryClients(stack.config())(PROJECT);
  cli = new CommandLine(stack.env);
  await program('.', 'python', ['-m', 'sample_sources', '--days', '3', '--people', '60']);
  await Promise.all([sayMore(), logMerges()]);
  await dbt('build');
});
afterAll(async () => {
  await stack?.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function program(cwd: string, name: string, args: string[], env: Record<string, string> = {}): Promise<void> {
  const { venv, bigqueryEndpoint } = stack.config();
  const { exitCode, all } = await execa(path.join(venv, 'bin', name), args, {
    cwd: path.resolve('warehouse', cwd),
    env: { ...stack.env, DAYFILL_BIGQUERY_ENDPOINT: bigqueryEndpoint!, ...env },
    reject: false,
    all: true,
  });
  if (exitCode !== 0) throw new Error(all);
}

async function dbt(...args: string[]): Promise<void> {
  const vars = {
    programmatic_client: 'headless',
    project_id: PROJECT,
    refresh_date: '2020-01-01',
    identifier_limit: LIMIT,
  };
  await program('identity_resolution', 'dbt', [...args, '--target=oauth', '--vars', JSON.stringify(vars)], {
    DBT_TARGET_PATH: directory,
    DBT_LOG_PATH: directory,
    DBT_SEND_ANONYMOUS_USAGE_STATS: 'false',
  });
}

/** What the sample people do not: two loyalty ids, many names, more addresses than one person has. */
async function sayMore(): Promise<void> {
  const email = (value: string) => ({ type: 'email', value });
  const called = (address: string) => (name: string) => ({ identifiers: [email(address)], traits: { name } });
  const persons = [
    { identifiers: [email(TWINS), loyalty('L-1'), loyalty('L-2'), { type: '<i>till</i>', value: '7' }] },
    { identifiers: Array.from({ length: LIMIT + 2 }, (_, place) => email(`crowd${place}@example.com`)) },
    ...['Ann Lee', 'Anne Lee', 'A. Lee', '<b>x</b>'].map(called(RENAMED)),
    ...['Bo Kay', ' bo KAY ', 'B. Kay', 'Beau Kay'].map(called(SPELT)),
  ];
  const at = '2025-07-03T10:00:00Z';
  const rows = persons.map((person, place) => ({
    ...{ id: `planted-${place}`, occurred_at: at, synced_at: at, event_name: 'met' },
    ...{ persons: JSON.stringify([person]), groups: '[]' },
  }));
  await bigquery.dataset('headless_raw').table('manual_events').insert(rows);
}

const loyalty = (value: string) => ({ type: 'loyalty_id', value });

/** What builds before this one would have logged. */
async function logMerges(): Promise<void> {
  await bigquery.createDataset('headless_identity');
  await bigquery.query(`
    create table headless_identity.entity_merges as
    select
      concat('logged-', place) as id, if(place < 5, 'person', 'group') as entity_type, if(place < 3, 'merged', 'split') as change,
      place as from_entity_id, place + 1 as to_entity_id, 'edge' as edge_id, false as _realtime, timestamp '2020-01-01' as _ingested_at
    from unnest(generate_array(0, 5)) as place`);
}

// biome-ignore lint/suspicious/noExplicitAny: rows have whatever columns the query names
async function query(sql: string): Promise<any[]> {
  return (await bigquery.query(sql))[0];
}

const quality = () => cli.json<QualityReport>(['quality']);

/** Identifiers that are not junk, by person or group. */
async function components(
  entity: string,
): Promise<Map<string, { identifier_type: string; identifier_value: string }[]>> {
  const [resolved, junk] = await Promise.all([
    query(`select * from headless_identity.resolved_${entity}_identifiers`),
    query(`select * from headless_identity.junk_${entity}_identifiers`),
  ]);
  const isJunk = new Set(junk.map((row) => `${row.identifier_type} ${row.identifier_value}`));
  const kept = resolved.filter((row) => !isJunk.has(`${row.identifier_type} ${row.identifier_value}`));
  const found = new Map<string, typeof kept>();
  for (const row of kept) {
    const id = String(row[`${entity}_id`]);
    found.set(id, [...(found.get(id) ?? []), row]);
  }
  return found;
}

async function personOf(address: string): Promise<string> {
  const found = [...(await components('person'))].find(([, all]) =>
    all.some((one) => one.identifier_value === address),
  );
  return found![0];
}

test.each(['person', 'group'])('the measures are what the tables say: %s', async (entity) => {
  const { measures } = await quality();
  const told = measures.filter(({ entityType }) => entityType === entity);
  const sizes = [...(await components(entity)).values()].map((all) => all.length).sort((a, b) => a - b);
  const identifiers = sizes.reduce((sum, size) => sum + size, 0);
  const [edges, junk, marts] = await Promise.all([
    query(`select * from headless_identity.${entity}_edges`),
    query(`select reason from headless_identity.junk_${entity}_identifiers`),
    query(`select * from headless_identity.${entity}s`),
  ]);
  const share = (part: number) => sizes[Math.ceil(part * sizes.length) - 1];
  expect(Object.fromEntries(told.map(({ measure, value }) => [measure, value]))).toEqual({
    entities: marts.length,
    entities_of_one_identifier: sizes.filter((size) => size === 1).length,
    identifiers,
    identifiers_per_entity_mean: expect.closeTo(identifiers / sizes.length, 6),
    identifiers_per_entity_median: share(0.5),
    identifiers_per_entity_p99: share(0.99),
    identifiers_per_entity_max: sizes.at(-1),
    edges: edges.filter((edge) => !edge._removed).length,
    merged: entity === 'person' ? 3 : 0,
    split: entity === 'person' ? 2 : 1,
    junk_listed: junk.filter(({ reason }) => reason === 'listed').length,
    junk_shared: entity === 'person' ? expect.any(Number) : 0,
  });
  if (entity === 'person') expect(junk.filter(({ reason }) => reason === 'shared').length).toBeGreaterThan(LIMIT);
});

test('suspects are who has two loyalty ids or many names, and the biggest', async () => {
  const { suspects, suspectsFound } = await quality();
  const because = (wanted: string) => suspects.filter(({ reason }) => reason === wanted);
  const person = { entityType: 'person' };
  expect(because('loyalty_ids')).toEqual([
    { ...person, entityId: await personOf(TWINS), reason: 'loyalty_ids', detail: '2 loyalty ids', identifiers: 4 },
  ]);
  expect(because('names')).toEqual([
    { ...person, entityId: await personOf(RENAMED), reason: 'names', detail: '4 names', identifiers: 1 },
  ]);
  for (const entity of ['person', 'group']) {
    const bySize = [...(await components(entity))]
      .map(([entityId, all]) => ({ entityId, identifiers: all.length }))
      .sort((a, b) => b.identifiers - a.identifiers || Number(a.entityId) - Number(b.entityId));
    const biggest = because('largest').filter(({ entityType }) => entityType === entity);
    expect(biggest.map(({ entityId, identifiers }) => ({ entityId, identifiers }))).toEqual(bySize.slice(0, 20));
  }
  expect(because('largest').map(({ detail }) => detail)).toContain('2 loyalty_id, 1 <i>till</i>, 1 email');
  expect(suspectsFound).toBe(suspects.length);
});

test('the command prints tables, and a page that shows the same and takes nothing for markup', async () => {
  const page = path.join(directory, 'quality.html');
  const { code, stdout, stderr } = await cli.run(['quality', '--page', page]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const html = readFileSync(page, 'utf8');
  const twins = `person ${await personOf(TWINS)}`;
  const renamed = `person ${await personOf(RENAMED)}`;
  const { measures } = await quality();
  const entities = measures.filter(({ measure }) => measure === 'entities').map(({ value }) => value);
  expect(stdout).toMatch(new RegExp(`│ entities +│ ${entities.join(' +│ ')} +│`));
  expect(stdout).toMatch(new RegExp(`│ ${renamed} +│ 4 names +│ 1 +│`));
  expect(html).toContain(
    `<th scope="row">entities</th>${entities.map((n) => `<td class="number">${n}</td>`).join('')}</tr>`,
  );
  expect(html).toContain(`<th scope="row">${twins}</th><td>2 loyalty ids</td><td class="number">4</td></tr>`);
  expect(html).toContain('1 &lt;i&gt;till&lt;/i&gt;');
  expect(html).not.toMatch(/<i>|<script|src=|href=|url\(|https?:/);
  for (const shown of [stdout, html]) expect(shown).not.toMatch(/Lee|Kay|<b>|&lt;b&gt;|L-1|@example/);
});

test('building again changes nothing but when it was measured; what is taken back no longer counts', async () => {
  const before = await quality();
  await query(`update headless_identity.person_edges set _removed = true
    where edge_id in (select min(edge_id) from headless_identity.person_edges where not _removed)`);
  await query(`update headless_identity.person_traits set _removed = true where trait_value = 'Ann Lee'`);
  await dbt('run', '--select', 'identity_quality', 'identity_suspects');
  const after = await quality();
  expect(after.measuredAt > before.measuredAt).toBe(true);
  expect(after).toEqual({
    ...{ ...before, measuredAt: after.measuredAt, suspectsFound: before.suspectsFound - 1 },
    measures: before.measures.map((one) =>
      one.measure === 'edges' && one.entityType === 'person' ? { ...one, value: one.value - 1 } : one,
    ),
    suspects: before.suspects.filter(({ reason }) => reason !== 'names'),
  });
});

test.each<[string[], number, RegExp, Record<string, string>?]>([
  [['--client', 'no`body'], 2, /"no`body" is not a client; expected a name such as headless\.$/],
  [['--project-id', 'x;'], 2, /"x;" is not a Google Cloud project; /],
  [['--client', 'nobody'], 1, /no quality tables in talbots-og-map-dev\.nobody_identity yet: run dbt build first\.$/],
  [['--page', '/no/such/folder/page.html'], 2, /The page cannot be written: ENOENT/],
  [[], 1, /The warehouse does not answer at http:\/\/127/, { DAYFILL_BIGQUERY_ENDPOINT: 'http://127.0.0.1:9' }],
])('dayfill quality %j is refused in one sentence, with %i', async (args, exitCode, sentence, env = {}) => {
  const { code, stdout, stderr } = await cli.run(['quality', ...args], env);
  expect(stderr.trim()).toMatch(sentence);
  expect(stderr).toMatch(/^dayfill: .*\n?$/);
  expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
});
