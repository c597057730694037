import { describe, expect, it } from '@jest/globals';
import type { Digest } from '../../../src/contracts/catch-up.js';
import { decisionSchema } from '../../../src/contracts/decision.js';
import type { LedgerRow } from '../../../src/contracts/ledger.js';
import type { Notice, NoticePartition } from '../../../src/contracts/notice.js';
import { explained } from '../../../src/notices/explain.js';
import { presentable } from '../../../src/notices/presentable.js';
import { slackMessage } from '../../../src/notices/slack.js';
import { noticeText, plainBody } from '../../../src/notices/text.js';

const HASH = 'a'.repeat(64);

function day(partition: string, more: Partial<NoticePartition> = {}): NoticePartition {
  const failure = {
    ...{ id: `run-${partition}-1`, fingerprint: '0123456789ab', kind: 'test_failure' as const },
    ...{ tests: ['unique_orders_order_id'], message: 'Got 2 results, configured to fail if != 0' },
  };
  return { partition, status: 'waiting', step: 'dbt_build', failure, proposal: null, decidesAt: null, ...more };
}

const proposal = {
  sha256: HASH,
  explanation: 'Keep the latest row of each order.',
  sql: 'delete from shop.orders\nwhere day = @partition and doubled',
  rows: 2,
  testPasses: true,
};

function notice(partitions: NoticePartition[], more: Partial<Notice> = {}): Notice {
  return { event: 'waiting', pipeline: 'shop', at: '2025-07-20T03:00:00Z', partitions, backfill: null, ...more };
}

const bodyOf = (subject: Notice) => plainBody(noticeText(subject));

describe('a red flag', () => {
  const failure = {
    ...{ id: 'run-1', fingerprint: '0123456789ab', kind: 'limit' as const, tests: [] },
    message: 'The step has billed 2 TiB, more than its limit bytes_billed of 1 TiB.',
  };

  it('says that a day was stopped at a limit and how to answer', () => {
    const subject = notice([day('2025-07-16', { failure })], { event: 'limit' });
    expect(noticeText(subject).title).toBe('shop: red flag: 2025-07-16 crossed a limit and waits for a decision');
    expect(bodyOf(subject)).toContain(failure.message);
    expect(bodyOf(subject)).toContain('dayfill resolve shop 2025-07-16 retry --failure run-1');
  });

  it('says that a day goes on though it crossed a limit', () => {
    const warning = failure.message;
    const subject = notice([day('2025-07-16', { status: 'running', failure: null, warning })], { event: 'limit' });
    expect(noticeText(subject).title).toBe('shop: red flag: 2025-07-16 crossed a limit and goes on');
    expect(bodyOf(subject)).toBe(`2025-07-16 at dbt_build: ${warning}`);
  });

  it('says that the budget has run out and how to go on', () => {
    const backfill = {
      state: 'paused' as const,
      message: '$5.20 of $5.00 spent.',
      total: 30,
      counts: {},
      costUsd: 5.2,
    };
    const subject = notice([], { event: 'limit', backfill });
    expect(noticeText(subject).title).toBe('shop: red flag: the budget has run out, the backfill pauses');
    expect(bodyOf(subject)).toContain('$5.20 of $5.00 spent.');
    expect(bodyOf(subject)).toContain('dayfill resume shop --budget-usd <dollars>');
  });
});

describe('a day that waits', () => {
  it('is told with its failure, the proposal and the lines that answer it', () => {
    const { title } = noticeText(notice([day('2025-07-16', { proposal })]));
    expect(title).toBe('shop: 2025-07-16 waits for a decision');
    const body = bodyOf(notice([day('2025-07-16', { proposal, decidesAt: '2025-07-21T00:00:00Z' })]));
    for (const line of [
      'Waiting: 2025-07-16 at dbt_build: test_failure (unique_orders_order_id)',
      'Got 2 results, configured to fail if != 0',
      'Proposal: Keep the latest row of each order.',
      'Rehearsed, it changes 2 rows; the failing test passes on the result.',
      `SHA-256: ${HASH}`,
      '  delete from shop.orders',
      'Without an answer it is decided by rule at 2025-07-21T00:00:00Z.',
      '  dayfill show shop 2025-07-16',
      `  dayfill resolve shop 2025-07-16 approve ${HASH} --failure run-2025-07-16-1`,
      '  dayfill resolve shop 2025-07-16 retry --failure run-2025-07-16-1',
      '  dayfill resolve shop 2025-07-16 skip-step --failure run-2025-07-16-1',
      '  dayfill resolve shop 2025-07-16 skip --failure run-2025-07-16-1',
      '  dayfill resolve shop 2025-07-16 abort --failure run-2025-07-16-1',
      '  dayfill resolve shop --all-like 0123456789ab',
    ]) {
      expect(body.split('\n')).toContain(line);
    }
  });

  it.each([null, proposal])('has a temporal line that the workflow takes', (suggested) => {
    const body = bodyOf(notice([day('2025-07-16', { proposal: suggested })]));
    const [, json] = /temporal workflow update execute -w shop\/2025-07-16 --name resolve -i '(.*)'/.exec(body)!;
    expect(decisionSchema.parse(JSON.parse(json!))).toMatchObject({
      action: suggested === null ? 'retry' : 'approve',
      failure: 'run-2025-07-16-1',
    });
  });

  it('is one question with those that fail alike', () => {
    const days = Array.from({ length: 30 }, (_, i) => day(`2025-06-${String(i + 1).padStart(2, '0')}`));
    const text = noticeText(notice(days, { event: 'reminder' }));
    expect(text.title).toBe('shop: 30 partitions still wait for a decision');
    expect(plainBody(text)).toContain('2025-06-19, 2025-06-20 and 10 more at dbt_build');
    expect(plainBody(text).match(/dayfill show/g)).toHaveLength(1);
  });
});

it('a backfill ends with one digest', () => {
  const healed = { status: 'fixed' as const, healedBy: 'remedy drop-doubles' };
  const text = noticeText(
    notice(
      [
        day('2025-07-01', healed),
        day('2025-07-02', healed),
        day('2025-07-03', { proposal }),
        day('2025-07-04'),
        day('2025-07-05', { status: 'failed' }),
      ],
      {
        event: 'finished',
        backfill: {
          state: 'succeeded',
          message: '2 partitions wait.',
          total: 9,
          counts: { succeeded: 4, fixed: 2, waiting: 2, failed: 1 },
        },
      },
    ),
  );
  expect(text.title).toBe('shop: backfill ended (2 waiting, 4 succeeded, 2 fixed, 1 failed)');
  const body = plainBody(text);
  expect(body).toContain('Of 9 partitions: 2 waiting, 4 succeeded, 2 fixed, 1 failed.');
  expect(body).toContain('Fixed by remedy drop-doubles: 2025-07-01, 2025-07-02.\nIt was: unique_orders_order_id');
  expect(body).toContain('Failed: 2025-07-05 at dbt_build');
  expect(body).toContain('Waiting: 2025-07-03, 2025-07-04 at dbt_build');
  expect(body).toContain(`dayfill resolve shop 2025-07-03 approve ${HASH}`);
});

describe('the digest of a morning', () => {
  const nothing: Digest = {
    ...{ since: '2025-07-19T06:00:00.000Z', counts: {}, succeeded: [], behind: null, paused: false },
    ...{ missing: [], costUsd: null, problem: null },
  };
  const morning = (digest: Partial<Digest>, partitions: NoticePartition[] = []) =>
    notice(partitions, { event: 'digest', digest: { ...nothing, ...digest } });

  it('tells what was done, fixed and given up, what waits and what is behind it, and the cost', () => {
    const healed = { status: 'fixed' as const, healedBy: 'remedy drop-doubles' };
    const subject = morning(
      {
        counts: { pending: 3, waiting: 1, succeeded: 2, fixed: 1, skipped: 1 },
        succeeded: ['2025-07-13', '2025-07-14'],
        behind: { partition: '2025-07-18', partitions: ['2025-07-19', '2025-07-20'] },
        missing: ['2025-07-10'],
        costUsd: 1.234,
      },
      [day('2025-07-15', healed), day('2025-07-16', { status: 'skipped' }), day('2025-07-18')],
    );
    const summary = '1 pending, 1 waiting, 2 succeeded, 1 fixed, 1 skipped, 2 behind 2025-07-18, 1 missing';
    expect(noticeText(subject).title).toBe(`shop: ${summary}`);
    const body = bodyOf(subject);
    for (const line of [
      `Since 2025-07-19 06:00 UTC: ${summary}. Cost: $1.23.`,
      'Succeeded: 2025-07-13, 2025-07-14.',
      'Fixed by remedy drop-doubles: 2025-07-15.',
      'Skipped: 2025-07-16.',
      'Behind 2025-07-18: 2025-07-19, 2025-07-20.',
      'Missing, in no backfill yet: 2025-07-10.',
      '  dayfill run shop --missing',
      'Waiting: 2025-07-18 at dbt_build: test_failure (unique_orders_order_id)',
      '  dayfill resolve shop 2025-07-18 retry --failure run-2025-07-18-1',
    ]) {
      expect(body.split('\n')).toContain(line);
    }
  });

  it('says why a night could not be done, and that a backfill is paused', () => {
    const failed = morning({ problem: 'The freshness query of shop failed: no such table.' });
    expect(noticeText(failed).title).toBe('shop: catch-up failed');
    expect(bodyOf(failed)).toContain('What is missing could not be found out: The freshness query of shop failed');
    const paused = bodyOf(morning({ counts: { pending: 2 }, paused: true }));
    expect(paused).toContain('  dayfill resume shop');
  });
});

it('what the ledger knows explains a digest', () => {
  const unexplained = { step: null, failure: null, proposal: null, decidesAt: null };
  const row = (status: 'fixed' | 'waiting', remedies: string[], decisions: object[]) =>
    ({ status, steps: [{ failure: { ...day('').failure, step: 'dbt_build' }, remedies }], decisions }) as LedgerRow;
  const decision = { action: 'fix', file: 'fixes/currency.sql', decidedBy: null, way: 'all_alike' };
  const rejected = { action: 'reject', file: null, decidedBy: 'ada', way: 'person' };
  const rows = [
    row('fixed', ['drop-doubles'], []),
    row('fixed', [], [decision, rejected]),
    row('waiting', [], []),
    undefined,
  ];
  const partitions = rows.map((found, i) =>
    // The first was parked, and has been answered since.
    explained(
      { partition: `2025-07-0${i}`, status: i === 0 ? 'waiting' : (found?.status ?? 'failed'), ...unexplained },
      found,
    ),
  );
  const backfill = { state: 'failed' as const, message: '', total: 4, counts: { fixed: 2, waiting: 1, failed: 1 } };
  const body = bodyOf(notice(partitions, { event: 'finished', backfill }));
  expect(body).toMatch(/^Of 4 partitions: 1 waiting, 2 fixed, 1 failed\./);
  expect(body).toContain('Fixed by remedy drop-doubles: 2025-07-00.');
  expect(body).toContain('Fixed by fix fixes/currency.sql (all_alike): 2025-07-01.');
  expect(body).toContain('Waiting: 2025-07-02 at dbt_build: test_failure (unique_orders_order_id)');
  expect(body).toContain('Failed: 2025-07-03.');
});

it('masks and cuts what comes from data, and shows what hides', () => {
  const message = `ada@example.com \u202eevil\u001b[31m ${'x'.repeat(5000)}`;
  const failure = { ...day('2025-07-16').failure!, message };
  const [shown] = presentable(notice([day('2025-07-16', { failure })])).partitions;
  expect(shown!.failure!.message).toMatch(/^<email> \ufffdevil\ufffd\[31m x+…$/);
  expect(shown!.failure!.message.length).toBeLessThanOrEqual(1000);
});

describe('for Slack', () => {
  it('escapes, so that data cannot call a channel or end a code block', () => {
    const failure = { ...day('2025-07-16').failure!, message: '<!channel> a & b' };
    const hostile = { ...proposal, sql: 'select "```", 1 < 2' };
    const { text, blocks } = slackMessage(noticeText(notice([day('2025-07-16', { failure, proposal: hostile })])));
    for (const said of [text, JSON.stringify(blocks)]) {
      expect(said).toContain('&lt;!channel&gt; a &amp; b');
      expect(said).not.toContain('<!channel>');
    }
    expect(text).toContain(`\`\`\`\nselect "'''", 1 &lt; 2\n\`\`\``);
  });

  it('keeps to the limits whatever there is to say', () => {
    const days = Array.from({ length: 60 }, (_, i) => {
      const failure = { ...day('').failure!, fingerprint: String(i), message: '&'.repeat(5000) };
      return day(`2025-07-${i}`, { failure, proposal, decidesAt: '2025-07-21T00:00:00Z' });
    });
    const all = [...days, ...days.map((one) => ({ ...one, status: 'fixed' as const }))];
    const backfill = { state: 'succeeded' as const, message: 'Done.', total: 120, counts: { waiting: 60, fixed: 60 } };
    const { text, blocks } = slackMessage(noticeText(presentable(notice(all, { event: 'finished', backfill }))));
    expect(blocks.length).toBeLessThanOrEqual(50);
    expect(blocks[0]).toMatchObject({ type: 'header' });
    for (const block of blocks) expect(block.text.text.length).toBeLessThanOrEqual(3000);
    expect(text.length).toBeLessThanOrEqual(40_000);
    expect(text).not.toMatch(/&(?!amp;|lt;|gt;)/);
    expect(JSON.stringify(blocks)).toContain('And 54 more failures');
    expect(blocks.at(-1)!.text.text).toContain('dayfill status shop');
  });
});

describe('totals that were revised', () => {
  const days = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      day: `2025-07-${String(index + 1).padStart(2, '0')}`,
      figures: [
        { name: 'orders', before: '120', after: '121' },
        { name: 'revenue', before: null, after: '5040.5' },
      ],
    }));
  const revised = (count: number, more = 0) =>
    notice([day('2025-07-16', { status: 'succeeded', failure: null, step: null })], {
      event: 'revised',
      revised: [{ step: 'reconcile', days: days(count), more }],
    });

  it('are told with old and new figures', () => {
    expect(noticeText(revised(1)).title).toBe('shop: totals of 1 day revised by 2025-07-16');
    expect(bodyOf(revised(1)).split('\n')).toEqual([
      'Found by reconcile:',
      '2025-07-01: orders from 120 to 121, revenue from none to 5040.5',
    ]);
  });

  it('of many days fit into what Slack takes, and say how many more there are', () => {
    const { blocks } = slackMessage(noticeText(revised(31, 9)));
    expect(noticeText(revised(31, 9)).title).toBe('shop: totals of 40 days revised by 2025-07-16');
    const texts = blocks.slice(1).map(({ text }) => text.text);
    expect(texts.join('\n')).toContain('2025-07-31: orders');
    expect(texts.at(-1)).toMatch(/And 9 more\.$/);
    for (const text of texts) expect(text.length).toBeLessThan(3000);
  });

  it('have names without hidden characters', () => {
    const given = revised(1);
    given.revised![0]!.days[0]!.figures[0]!.name = 'orders\u202e';
    expect(presentable(given).revised![0]!.days[0]!.figures[0]!.name).toBe('orders\ufffd');
  });
});
