import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  type Identity,
  PERSONS_OF_IDENTIFIERS,
  seededRandom,
  shuffled,
  startIdentity,
  unionFind,
} from '../support/identity.js';

type Pair = [number, number];

const CHAIN = 10_000;
const STAR = 100_000;
const MODEL = 'resolved_person_identifiers';

let identity: Identity;

beforeAll(async () => {
  identity = await startIdentity({ graphs: ['manual'] });
  await identity.run('graphs', PERSONS_OF_IDENTIFIERS);
});
afterAll(() => identity?.stop());

const range = (length: number) => Array.from({ length }, (_, place) => place);
const path = (nodes: number[]): Pair[] => nodes.slice(1).map((node, place) => [nodes[place]!, node]);

/** Chains with their numbers in order, at random and from both ends in turn; a star, cliques, cycles: side by side. */
function graphs(): { pairs: Pair[]; starts: Record<'inOrder' | 'atRandom' | 'star', number>; size: number } {
  const random = seededRandom(7);
  const pairs: Pair[] = [];
  let size = 0;
  const add = (nodes: number, graph: Pair[]) => {
    const start = size + 1;
    for (const [a, b] of graph) pairs.push([a + start, b + start]);
    size += nodes;
    return start;
  };
  const zigzag = range(CHAIN).map((place) => (place % 2 === 0 ? place / 2 : CHAIN - (place + 1) / 2));
  const starts = {
    inOrder: add(CHAIN, path(range(CHAIN))),
    atRandom: add(CHAIN, path(shuffled(range(CHAIN), random))),
    star: add(
      STAR,
      range(STAR).flatMap((leaf): Pair[] => (leaf === STAR / 2 ? [] : [[STAR / 2, leaf]])),
    ),
  };
  add(CHAIN, path(zigzag));
  for (const nodes of [2, 3, 12, 100])
    add(
      nodes,
      range(nodes).flatMap((a) => range(a).map((b): Pair => [a, b])),
    );
  for (const nodes of [3, 4, 5, 99, 5_000]) add(nodes, path([...shuffled(range(nodes), random), 0]));
  add(1, []);
  return { pairs, starts, size };
}

/** Adds edges, and nodes up to a number, as the models before would. */
async function add(pairs: Pair[], nodes = 0): Promise<void> {
  const name = (node: string) => `concat('n', cast(${node} as string), '@example.com')`;
  await identity.query(
    `insert into graphs_identity.person_nodes (node_id, identifier_type, identifier_value, _realtime, _ingested_at)
     select node, 'email', ${name('node')}, false, current_timestamp() from unnest(generate_array(1, ${nodes})) as node`,
  );
  await identity.query(
    `insert into graphs_identity.person_edges (edge_id, identifier_type_a, identifier_value_a, identifier_type_b, identifier_value_b,
       node_a, node_b, occurred_at, source, event_id, synced_at, _removed, _realtime, _ingested_at)
     select concat(cast(a as string), '-', cast(b as string)), 'email', ${name('a')}, 'email', ${name('b')}, a, b,
       timestamp '2025-01-01', 'test', '1', timestamp '2025-01-01', false, false, current_timestamp()
     from (
       select cast(json_extract_scalar(pair, '$[0]') as int64) as a, cast(json_extract_scalar(pair, '$[1]') as int64) as b
       from unnest(json_extract_array(@pairs)) as pair
     ) as pairs`,
    { pairs: JSON.stringify(pairs) },
  );
}

/** The script that ran before the model was last built, as BigQuery got it. */
async function lastScript(): Promise<string> {
  const [jobs] = await identity.bigquery.getJobs({ maxResults: 20, projection: 'full' });
  const scripts = jobs.map(({ metadata }) => metadata.configuration?.query?.query ?? '');
  return scripts.find((sql) => sql.includes('cc_steps'));
}

test('chains of 10,000, a star of 100,000, cliques and cycles in at most 10 rounds; then a bridge', async () => {
  const { pairs, starts, size } = graphs();
  await add(pairs, size);
  await identity.run('graphs', MODEL, { fullRefresh: true });
  const person = async () => {
    const resolved = await identity.resolved('graphs');
    return new Map([...resolved.values()].map(({ node, person }) => [node, person]));
  };
  const alone = range(size).map((node) => [node + 1]);
  const before = await person();
  // The oldest number names the component, in both.
  expect(before.size).toBe(size);
  const wrong = (found: Map<number, number>, right: Map<number, number>) =>
    [...right].filter(([node, least]) => found.get(node) !== least);
  expect(wrong(before, unionFind([...pairs, ...alone]))).toEqual([]);

  const [{ rounds }] = await identity.query(`${await lastScript()}\nselect max(step) as rounds from cc_steps;`);
  expect(rounds).toBeGreaterThan(3);
  expect(rounds).toBeLessThanOrEqual(10);

  const [{ built }] = await identity.query(`select max(_ingested_at) as built from graphs_identity.${MODEL}`);
  const bridge: Pair = [starts.star + 77, starts.atRandom + 500];
  await add([bridge]);
  await identity.run('graphs', MODEL);
  expect(wrong(await person(), unionFind([...pairs, bridge, ...alone]))).toEqual([]);
  expect(await identity.merges('graphs')).toEqual([
    { change: 'merged', from: starts.star, to: starts.atRandom, edge: bridge.join('-') },
  ]);
  // Nothing but what gave way is written again.
  const [{ n }] = await identity.query(
    `select count(*) as n from graphs_identity.${MODEL} where _ingested_at > @built`,
    { built },
  );
  expect(n).toBe(STAR);
}, 960_000);
