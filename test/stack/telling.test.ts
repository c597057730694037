import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type CommandPipeline, type CommandStack, startCommandStack } from '../support/command-pipelines.js';
import { type Post, Webhooks } from './fixtures/listeners.js';
import { until } from './fixtures/processes.js';

const [D1, D2, D3] = ['2025-07-01', '2025-07-02', '2025-07-03'] as const;

let webhooks: Webhooks;
let commands: CommandStack;
let shop: CommandPipeline;

beforeAll(async () => {
  webhooks = await Webhooks.start();
  const closed = await Webhooks.start();
  const dead = closed.url('/dead');
  await closed.stop();
  commands = await startCommandStack({ env: { SHOP_HOOK: webhooks.url('/shop'), DEAD_HOOK: dead } });
  shop = commands.pipeline('shop', {
    parallel_safe: true,
    notify: [{ webhook: 'DEAD_HOOK' }, { webhook: 'SHOP_HOOK' }, { webhook: 'NEVER_SET_HOOK' }],
  });
});
afterAll(async () => {
  await commands?.stop();
  await webhooks?.stop();
});

interface Told {
  event: string;
  title: string;
  text: string;
}
const told = () => webhooks.posts.map(({ body }: Post) => body as unknown as Told);
const toldOf = (event: string) => until(`a notice of ${event}`, () => told().find((one) => one.event === event));

test('one incident on several days is told once, what healed it, and the whole in one digest, dead webhooks or not', async () => {
  for (const day of [D1, D2]) shop.break(`${day}.crm`);
  shop.hold(`${D3}.crm`);
  await shop.start({ partitions: [D1, D2, D3], onFailure: 'park' });
  const [first, second] = [await shop.waiting(D1), await shop.waiting(D2)];
  expect(second.fingerprint).toBe(first.fingerprint);
  const waiting = await toldOf('waiting');
  expect(waiting.title).toBe(`shop: ${D1} waits for a decision`);
  expect(waiting.text).toContain(`dayfill resolve shop ${D1} retry --failure ${first.id}`);

  shop.mend(`${D1}.crm`);
  await shop.resolve(D1, { action: 'retry', failure: first.id, by: 'ada' });
  const fixed = await toldOf('fixed');
  expect(fixed.title).toBe(`shop: ${D1} is fixed`);

  shop.release(`${D3}.crm`);
  expect(await shop.backfill().result()).toMatchObject({ counts: { succeeded: 1, fixed: 1, waiting: 1 } });
  const finished = await toldOf('finished');
  expect(finished.text).toContain('Of 3 partitions: 1 waiting, 1 succeeded, 1 fixed.');
  expect(finished.text).toContain(`Fixed by retry (ada): ${D1}.`);
  expect(finished.text).toContain(`Waiting: ${D2} at crm: exit_code`);
  expect(finished.text).toContain(`dayfill resolve shop ${D2} retry --failure ${second.id}`);
  expect(
    told()
      .map(({ event }) => event)
      .sort(),
  ).toEqual(['finished', 'fixed', 'waiting']);
});

test('people are reminded of all that wait, once for all of them, until a rule decides', async () => {
  const late = commands.pipeline('late', {
    parallel_safe: true,
    decide_within: { time: '8s', action: 'skip', remind_every: '5s' },
    notify: [{ webhook: 'SHOP_HOOK', on: ['reminder', 'finished'] }],
  });
  for (const day of [D1, D2]) late.break(`${day}.crm`);
  await (await late.start({ partitions: [D1, D2], onFailure: 'park' })).result();
  for (const day of [D1, D2]) expect(await late.day(day).result()).toMatchObject({ status: 'skipped' });
  // Reminders fall into periods of five seconds: two clocks that ring on either side of a border are two reminders.
  const ofLate = (event: string) => told().filter((one) => one.title.startsWith('late:') && one.event === event);
  const reminder = await until('a reminder', () => ofLate('reminder')[0]);
  expect(ofLate('reminder').length).toBeLessThanOrEqual(2);
  expect(reminder.title).toBe('late: 2 partitions still wait for a decision');
  expect(reminder.text).toContain(`${D1}, ${D2} at crm`);
  expect(reminder.text).toContain('Without an answer it is decided by rule at 20');
});
