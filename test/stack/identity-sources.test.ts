import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Identity, parts, startIdentity } from '../support/identity.js';

const SOURCES = ['shopify_partner', 'gadget', 'manual', 'gmail'];

let identity: Identity;

beforeAll(async () => {
  const clients = ['in_order', 'out_of_order', 'mended'];
  identity = await startIdentity(Object.fromEntries(clients.map((client) => [client, SOURCES])));
  await identity.sampleSources('in_order', '--days', '6', '--people', '60');
});
afterAll(() => identity?.stop());

/** The identifiers that events have, by person or group. */
async function partition(client: string, entity: string): Promise<string[]> {
  const rows = await identity.query(
    `select concat(identifier_type, ':', identifier_value) as name, ${entity}_id as id
     from ${client}_identity.resolved_${entity}_identifiers as resolved
     where exists (
       select 1 from ${client}_identity.${entity}_identifiers as named
       where named.identifier_type = resolved.identifier_type and named.identifier_value = resolved.identifier_value
         and not named._removed
     )`,
  );
  return parts(rows.map(({ name, id }) => [name, id]));
}

/** Who is who, and the final tables without what tells how they came about: ids and clocks. */
async function outcome(client: string): Promise<Record<string, string[]>> {
  const dataset = `${client}_identity`;
  const person = `(select to_json_string(emails) || to_json_string(phones) from ${dataset}.persons as p where p.person_id = m.person_id)`;
  const company = `(select to_json_string(shop_ids) || to_json_string(domains) from ${dataset}.groups as g where g.group_id = m.group_id)`;
  const queries = {
    persons: `select to_json_string(t) as line from (select * except (person_id, _realtime, _ingested_at) from ${dataset}.persons) as t`,
    groups: `select to_json_string(t) as line from (select * except (group_id, _realtime, _ingested_at) from ${dataset}.groups) as t`,
    memberships: `select concat(${person}, ${company}, role, source, cast(occurred_at as string)) as line from ${dataset}.memberships as m`,
  };
  const found: Record<string, string[]> = {
    'identifiers of persons': await partition(client, 'person'),
    'identifiers of groups': await partition(client, 'group'),
  };
  for (const [table, sql] of Object.entries(queries)) {
    found[table] = (await identity.query(`${sql} order by line`)).map(({ line }) => line);
    expect(found[table]!.length).toBeGreaterThan(5);
  }
  return found;
}

test('late days, delivered in another order, come to the same', async () => {
  const arrivals = [
    ['2025-07-05', '2025-07-06'],
    ['2025-07-01', '2025-07-02'],
    ['2025-07-03', '2025-07-04'],
  ];
  async function outOfOrder(): Promise<void> {
    for (const [week, days] of arrivals.entries()) {
      const list = days.map((day) => `'${day}'`).join(', ');
      const at = `timestamp_add(synced_at, interval ${30 * (week + 1)} day)`;
      await identity.arrive('out_of_order', 'in_order', { where: `string(date(synced_at)) in (${list})`, at });
      await identity.run('out_of_order');
    }
  }
  await Promise.all([identity.run('in_order'), outOfOrder()]);
  expect(await outcome('out_of_order')).toEqual(await outcome('in_order'));
}, 960_000);

test('what changes in the source unseen is as good as not there, until its day is read again', async () => {
  const before = await identity.contents('in_order');
  await identity.query(
    `delete from in_order_raw.gmail_messages where synced_at >= '2025-07-05' and mod(abs(farm_fingerprint(id)), 3) = 0;
     update in_order_raw.gadget_shops set shop_owner_email = concat('new.', trim(shop_owner_email))
     where synced_at >= '2025-07-05' and shop_owner_email like '%@%'`,
  );
  await identity.arrive('mended', 'in_order');
  await identity.run('in_order');
  expect(await identity.contents('in_order')).toEqual(before);
  await Promise.all([
    identity.run('in_order', undefined, { vars: { refresh_date: '2025-07-05' } }),
    identity.run('mended'),
  ]);
  expect(await identity.contents('in_order')).not.toEqual(before);
  expect(await outcome('in_order')).toEqual(await outcome('mended'));
}, 960_000);
