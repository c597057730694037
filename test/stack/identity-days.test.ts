import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Identity, PERSONS_OF_IDENTIFIERS, parts, startIdentity } from '../support/identity.js';

let identity: Identity;

beforeAll(async () => {
  // Two sources, for the sake of time; all of them are in identity-sources.test.ts.
  identity = await startIdentity({ month: ['manual', 'gmail'], by_day: ['manual', 'gmail'] });
});
afterAll(() => identity?.stop());

/** The person of each identifier. */
async function persons(client: string): Promise<[string, number][]> {
  return [...(await identity.resolved(client))].map(([name, { person }]) => [name, person]);
}

test('30 days, one by one: the entities of a build at once, and a full refresh changes nothing', async () => {
  await identity.sampleSources('month', '--days', '30', '--people', '40');
  async function byDay(): Promise<void> {
    for (let day = 1; day <= 30; day++) {
      const date = `2025-07-${String(day).padStart(2, '0')}`;
      await identity.arrive('by_day', 'month', { where: `date(synced_at) = '${date}'` });
      await identity.run('by_day', PERSONS_OF_IDENTIFIERS);
    }
  }
  await Promise.all([identity.run('month', PERSONS_OF_IDENTIFIERS), byDay()]);
  expect(parts(await persons('by_day'))).toEqual(parts(await persons('month')));
  expect((await identity.merges('by_day')).length).toBeGreaterThan(3);

  const [before, merges] = [new Map(await persons('by_day')), await identity.merges('by_day')];
  await identity.run('by_day', PERSONS_OF_IDENTIFIERS, { fullRefresh: true });
  expect(new Map(await persons('by_day'))).toEqual(before);
  expect(await identity.merges('by_day')).toEqual(merges);
}, 960_000);
