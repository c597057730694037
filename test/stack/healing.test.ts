import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DEFECT_DAYS, TEN_DAYS } from '../support/light-crm.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import { dayfill, dayfillJson, query, sampleFiles } from '../support/talbots.js';
import { until } from './fixtures/processes.js';

const [FIRST, SECOND] = DEFECT_DAYS as [string, string, string];
const RANGE = ['--from', TEN_DAYS[0]!, '--to', TEN_DAYS.at(-1)!];
/** The files themselves have the two known defects on these days. */
const KNOWN = ['2025-07-17', '2025-07-19', '2025-07-24'];

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
  await sampleFiles(stack, ...RANGE, ...DEFECT_DAYS.flatMap((day) => ['--unknown-defect', day]));
});
afterAll(() => stack?.stop());

/** Waits until a day waits and the adviser is done with it. */
function stuckDay(day: string) {
  return until(
    `${day} to wait`,
    async () => {
      const { stdout } = await dayfill(stack, 'show', 'talbots', day, '--json');
      const shown = stdout === '' ? null : JSON.parse(stdout); // it has not begun
      return shown?.status === 'waiting' && !shown.advising ? shown : null;
    },
    600_000,
  );
}

const failureOf = (shown: { steps: { status: string; failure: unknown }[] }) =>
  // biome-ignore lint/suspicious/noExplicitAny: JSON of the command line
  shown.steps.find(({ status }) => status === 'waiting')!.failure as any;

test('ten days of Talbots, three of them stuck, are healed by one approved proposal and all alike', async () => {
  expect((await dayfill(stack, 'run', 'talbots', ...RANGE, '--until-waiting')).exitCode).toBe(3);
  const first = await stuckDay(FIRST);
  const failure = failureOf(first);
  expect(first.proposal).toMatchObject({
    proposedBy: 'rules',
    rows: 3,
    rehearsal: { allowed: true, testPasses: true },
  });
  const text = (await dayfill(stack, 'show', 'talbots', FIRST)).stdout;
  expect(text).toContain(`dayfill resolve talbots ${FIRST} approve ${first.proposal.sha256}`);
  expect(text).toContain(first.proposal.sql);
  // What is shown of people is masked.
  expect(JSON.stringify(first.proposal)).not.toMatch(/@example\.com|555-?01/);

  const allLike = ['resolve', 'talbots', '--all-like', failure.fingerprint, '--by', 'ann'];
  const early = await dayfill(stack, ...allLike);
  expect(early).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('has been healed yet') });
  const wrong = first.proposal.sha256.replace(/.$/, (digit: string) => (digit === '0' ? '1' : '0'));
  const refused = await dayfill(stack, 'resolve', 'talbots', FIRST, 'approve', wrong);
  expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('but the one that is shown is') });
  const approved = await dayfill(stack, 'resolve', 'talbots', FIRST, 'approve', first.proposal.sha256, '--by', 'ann');
  expect(approved).toMatchObject({ exitCode: 0, stderr: '' });

  const second = await stuckDay(SECOND);
  expect(failureOf(second).fingerprint).toBe(failure.fingerprint);
  expect(second.proposal.sha256).toBe(first.proposal.sha256);
  expect(await dayfillJson(stack, ...allLike)).toMatchObject({ canary: FIRST, released: [SECOND], stands: true });

  const status = await until(
    'the backfill to end',
    async () => {
      const now = await dayfillJson(stack, 'status', 'talbots');
      return now.state === 'idle' ? now : null;
    },
    600_000,
  );
  const fixed = [...KNOWN, ...DEFECT_DAYS];
  expect(status.partitions.map(({ partition, status }: Record<string, string>) => [partition, status])).toEqual(
    TEN_DAYS.map((day) => [day, fixed.includes(day) ? 'fixed' : 'succeeded']),
  );
}, 1_800_000);

test('the ledger says who decided what, and only the bad rows were put aside', async () => {
  const { rows } = await dayfillJson(stack, 'ledger', 'talbots');
  const decisions = rows
    // biome-ignore lint/suspicious/noExplicitAny: JSON of the command line
    .filter(({ status }: any) => status === 'fixed')
    // biome-ignore lint/suspicious/noExplicitAny: JSON of the command line
    .flatMap(({ partition, decisions }: any) => decisions.map((d: any) => [partition, d.action, d.way, d.decidedBy]));
  expect(decisions).toEqual([
    [FIRST, 'approve', 'person', 'ann'],
    [SECOND, 'approve', 'all_alike', 'ann'],
    [DEFECT_DAYS[2], 'approve', 'all_alike', 'ann'],
  ]);
  const aside = await query(
    stack,
    `select string(conversion_date) as day, count(*) as n, string_agg(distinct currency) as currency
     from talbots_landing.conversion_quarantine group by conversion_date order by conversion_date`,
  );
  expect(aside).toEqual(DEFECT_DAYS.map((day) => ({ day, n: 3, currency: 'ZZZ' })));
  const [built] = await query(
    stack,
    `select countif(currency = 'ZZZ') as bad, count(*) as n from talbots_crm.conversions`,
  );
  expect(built.bad).toBe(0);
});

test('a fix is put back by undo, and its day is run again', async () => {
  const undone = await dayfillJson(stack, 'undo', 'talbots', FIRST);
  expect(undone).toBeDefined();
  const [{ n }] = await query(
    stack,
    `select count(*) as n from talbots_landing.conversion where conversion_date = '${FIRST}' and currency = 'ZZZ'`,
  );
  expect(n).toBe(3);
  const plan = await dayfillJson(stack, 'run', 'talbots', '--partitions', FIRST, '--plan');
  expect(plan.partitions).toMatchObject([{ partition: FIRST, action: 'run' }]);
});

test('what healed the days becomes a remedy that would have matched them', async () => {
  const saved = await dayfillJson(stack, 'remedy', 'save', 'talbots', SECOND, '--dry-run');
  expect(saved.diff).toContain('accepted_values_');
});
