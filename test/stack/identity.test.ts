import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  type Identity,
  type ManualEvent,
  type Merge,
  PERSONS_OF_IDENTIFIERS,
  parts,
  type Resolved,
  seededRandom,
  shuffled,
  startIdentity,
  unionFind,
} from '../support/identity.js';

const SEED = Number(process.env.DAYFILL_TEST_SEED ?? Date.now() % 1_000_000);
const ORDERS = ['in_order', 'reversed', 'random', 'interleaved', 'densest_last'] as const;
const manual = Object.fromEntries(['at_once', ...ORDERS, 'corrected', 'scratch'].map((name) => [name, ['manual']]));

let identity: Identity;

beforeAll(async () => {
  identity = await startIdentity(manual);
});
afterAll(() => identity?.stop());

const emails = ({ identifiers }: ManualEvent) => identifiers.map((value) => `email:${value}`);

/** 200 graphs of up to 14 nodes, from hardly any edge to nearly all; every edge and every node without one is an event. */
function randomGraphs(random: (below: number) => number): ManualEvent[][] {
  return Array.from({ length: 200 }, (_, graph) => {
    const size = 1 + random(14);
    const percent = [5, 15, 30, 90][random(4)]!;
    const name = (node: number) => `g${graph}n${node}@example.com`;
    const events: ManualEvent[] = [];
    const linked = new Set<number>();
    const add = (identifiers: string[]) =>
      events.push({
        id: `${graph}-${events.length}`,
        identifiers,
        occurredAt: `2024-${String(1 + random(12)).padStart(2, '0')}-01`,
      });
    for (let a = 0; a < size; a++) {
      for (let b = a + 1; b < size; b++) {
        if (random(100) >= percent) continue;
        add([name(a), name(b)]);
        linked.add(a).add(b);
      }
    }
    for (let node = 0; node < size; node++) if (!linked.has(node)) add([name(node)]);
    return events;
  });
}

/** Fails unless what changed between two builds is what the log says: whole persons gave way to older ones. */
async function expectLogged(
  client: string,
  before: Map<string, Resolved>,
  after: Map<string, Resolved>,
  merges: Merge[],
): Promise<void> {
  const moved = new Map<number, number>();
  for (const [name, { node, person }] of before) {
    const now = after.get(name)!;
    expect(now.node).toBe(node);
    if (now.person === person) continue;
    expect(moved.get(person) ?? now.person).toBe(now.person);
    moved.set(person, now.person);
  }
  for (const { person } of before.values()) if (!moved.has(person)) expect(after).toHavePerson(person);
  expect(merges.map(({ change, from, to }) => [change, from, to])).toEqual(
    [...moved].map(([from, to]) => ['merged', from, to]).sort((a, b) => Number(a[1]) - Number(b[1])),
  );
  const edges = await identity.query(
    `select edge_id, concat(identifier_type_a, ':', identifier_value_a) as a, concat(identifier_type_b, ':', identifier_value_b) as b
     from ${client}_identity.person_edges where not _removed and edge_id in unnest(@ids)`,
    { ids: ['', ...merges.map(({ edge }) => edge)] },
  );
  const ends = new Map(edges.map(({ edge_id, a, b }) => [edge_id, [a, b] as const]));
  for (const { from, to, edge } of merges) {
    expect(to).toBeLessThan(from);
    // One end was of the person that gave way, the other was not, and both are of the one that is left.
    const [a, b] = ends.get(edge)!;
    expect([before.get(a)?.person === from, before.get(b)?.person === from].sort()).toEqual([false, true]);
    expect([after.get(a)!.person, after.get(b)!.person]).toEqual([to, to]);
  }
}

expect.extend({
  toHavePerson(resolved: Map<string, Resolved>, person: number) {
    const pass = [...resolved.values()].some((row) => row.person === person);
    return { pass, message: () => `person ${person} is gone` };
  },
});
declare module 'expect' {
  interface Matchers<R> {
    toHavePerson(person: number): R;
  }
}

function expectOldestNames(resolved: Map<string, Resolved>): void {
  const oldest = new Map<number, number>();
  for (const { node, person } of resolved.values()) oldest.set(person, Math.min(oldest.get(person) ?? node, node));
  for (const [person, node] of oldest) expect(person).toBe(node);
}

test(`200 random graphs (seed ${SEED}): as a union-find has it, at once and in five orders of arrival`, async () => {
  const random = seededRandom(SEED);
  const graphs = randomGraphs(random);
  const events = graphs.flat();
  const orders: Record<(typeof ORDERS)[number], ManualEvent[]> = {
    in_order: events,
    reversed: [...events].reverse(),
    random: shuffled(events, random),
    interleaved: [0, 1, 2, 3].flatMap((turn) => events.filter((_, place) => place % 4 === turn)),
    densest_last: [...graphs].sort((a, b) => a.length - b.length).flat(),
  };
  const asItIs = parts(unionFind(events.map(emails)));

  async function atOnce(): Promise<void> {
    await identity.deliver('at_once', '2025-07-01', events);
    await identity.run('at_once', PERSONS_OF_IDENTIFIERS);
    const resolved = await identity.resolved('at_once');
    expect(parts([...resolved].map(([name, { person }]) => [name, person]))).toEqual(asItIs);
    expectOldestNames(resolved);
    expect(await identity.merges('at_once')).toEqual([]);
  }

  async function dayByDay(client: (typeof ORDERS)[number]): Promise<void> {
    let before = new Map<string, Resolved>();
    let logged = 0;
    const days = 3;
    for (let day = 0; day < days; day++) {
      const arrived = Math.ceil((events.length * (day + 1)) / days);
      await identity.deliver(
        client,
        `2025-07-0${day + 1}`,
        orders[client].slice(Math.ceil((events.length * day) / days), arrived),
      );
      await identity.run(client, PERSONS_OF_IDENTIFIERS);
      const after = await identity.resolved(client);
      const merges = await identity.merges(client);
      expect(parts([...after].map(([name, { person }]) => [name, person]))).toEqual(
        parts(unionFind(orders[client].slice(0, arrived).map(emails))),
      );
      expectOldestNames(after);
      await expectLogged(client, before, after, merges.slice(logged));
      [before, logged] = [after, merges.length];
    }
    expect(parts([...before].map(([name, { person }]) => [name, person]))).toEqual(asItIs);
  }

  await Promise.all([atOnce(), ...ORDERS.map(dayByDay)]);
}, 960_000);

const LIMIT = { vars: { identifier_limit: 5 } };
const PERSONS = '+persons entity_merges';

/** Events of which the first of the list is the oldest. */
function inTime(start: string, events: [id: string, ...identifiers: string[]][]): ManualEvent[] {
  return events.map(([id, ...names], minute) => ({
    id,
    identifiers: names.map((name) => `${name}@${name === 'test' ? 'test.com' : 'example.com'}`),
    occurredAt: `${start}T00:${String(minute).padStart(2, '0')}:00Z`,
  }));
}

test('corrected events and new junk split persons, and the log says so', async () => {
  const days = {
    '2025-07-01': inTime('2024-01-01', [
      ['ab', 'a', 'b'],
      ['bc', 'b', 'c'],
      ['de', 'd', 'e'],
      ['xy', 'x', 'y'],
      ['yz', 'y', 'z'],
      ['xz', 'x', 'z'],
      ['m1', 'm1'],
      ['m2', 'm2'],
      ['m35', 'm3', 'm5'],
      ['m56', 'm5', 'm6'],
      ...[0, 1, 2, 3].map((n) => [`hub${n}`, 'hub', `s${n}`] as [string, ...string[]]),
      ['s01', 's0', 's1'],
      ['junk1', 'test', 'j1'],
      ['junk2', 'test', 'j2'],
    ]),
    '2025-07-02': inTime('2024-01-02', [
      ['bc', 'c'],
      ['de', 'd'],
      ['xy', 'x'],
      ['m35', 'm3'],
      ['m13', 'm1', 'm3'],
      ['m25', 'm2', 'm5'],
      ...[4, 5, 6, 7].map((n) => [`hub${n}`, 'hub', `s${n}`] as [string, ...string[]]),
    ]),
    '2025-07-03': inTime('2024-01-03', [['bc', 'b', 'c']]),
    '2025-07-04': inTime('2024-01-04', [['bc', 'c']]),
    '2025-07-05': inTime('2024-01-05', [['bc', 'b', 'c']]),
  };
  const junk = new Set(['email:test@test.com', 'email:hub@example.com']);
  const current = new Map<string, ManualEvent>();
  const asItIs = () =>
    parts(
      unionFind(
        [...current.values()].flatMap((event) => [
          emails(event).filter((name) => !junk.has(name)),
          ...emails(event).map((name) => [name]),
        ]),
      ),
    );
  const known = async (client: string) => {
    const named = new Set([...current.values()].flatMap(emails));
    const resolved = await identity.resolved(client);
    return parts([...resolved].filter(([name]) => named.has(name)).map(([name, { person }]) => [name, person]));
  };
  const logOf = async () => {
    const rows = await identity.query(
      `select merges.change, a.identifier_value as \`from\`, b.identifier_value as \`to\`,
         concat(edges.identifier_value_a, ' ', edges.identifier_value_b) as edge
       from corrected_identity.entity_merges as merges
       join corrected_identity.person_nodes as a on a.node_id = merges.from_entity_id
       join corrected_identity.person_nodes as b on b.node_id = merges.to_entity_id
       join corrected_identity.person_edges as edges on edges.edge_id = merges.edge_id
       order by merges._ingested_at, 2, 3`,
    );
    return rows.map((row) => Object.values(row).join(' ').replaceAll('@example.com', ''));
  };

  const log: Record<string, string[]> = {};
  let told = 0;
  for (const [day, events] of Object.entries(days)) {
    for (const event of events) current.set(event.id, event);
    await identity.deliver('corrected', day, events);
    await identity.run('corrected', PERSONS, LIMIT);
    if (day === '2025-07-01') {
      // Not junk yet.
      junk.delete('email:hub@example.com');
      expect(await known('corrected')).toEqual(asItIs());
      junk.add('email:hub@example.com');
    } else {
      expect(await known('corrected')).toEqual(asItIs());
    }
    const all = await logOf();
    log[day] = all.slice(told);
    told = all.length;
  }
  expect(log).toEqual({
    '2025-07-01': [],
    '2025-07-02': [
      'split a c b c',
      'split d e d e',
      'split hub s0 hub s0',
      'split hub s2 hub s0',
      'split hub s3 hub s0',
      'merged m3 m1 m1 m3',
      'split m3 m2 m3 m5',
    ],
    // The same edge joins the same persons again.
    '2025-07-03': ['merged c a b c'],
    '2025-07-04': ['split a c b c'],
    '2025-07-05': ['merged c a b c'],
  });
  expect(
    await identity.query(
      'select identifier_value as value, reason from corrected_identity.junk_person_identifiers order by value',
    ),
  ).toEqual([
    { value: 'hub@example.com', reason: 'shared' },
    { value: 'test@test.com', reason: 'listed' },
  ]);

  await identity.deliver('scratch', '2025-07-05', [...current.values()]);
  await identity.run('scratch', PERSONS, LIMIT);
  expect(await known('scratch')).toEqual(asItIs());
  const persons = (client: string) =>
    identity.query(
      `select to_json_string(struct(emails as emails, events as events, first_event_at as first_, last_event_at as last_)) as line
       from ${client}_identity.persons order by line`,
    );
  expect(await persons('corrected')).toEqual(await persons('scratch'));

  const before = await identity.contents('corrected');
  await identity.run('corrected', PERSONS, LIMIT);
  expect(await identity.contents('corrected')).toEqual(before);
});
