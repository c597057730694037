import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { ActivityFailure, type ApplicationFailure, type WorkflowFailedError } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { pino } from 'pino';
import { noticeActivities } from '../../src/activities/notify.js';
import type { Notice } from '../../src/contracts/notice.js';
import type { NotifyTarget, PipelineDefinition } from '../../src/pipeline/definition.js';
import { MailServer, Webhooks } from './fixtures/listeners.js';
import type { sendNotice } from './fixtures/notify-workflow.js';
import { temporalBinary } from './fixtures/temporal-binary.js';

const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };
const PASSWORD = 'smtp-secret-42';
/** In the path of every webhook, as in Slack's. */
const SECRET = 'T000-B000-hush';

let temporal: TestWorkflowEnvironment;
let worker: Worker;
let working: Promise<void>;
let webhooks: Webhooks;
let mailServer: MailServer;
let targets: NotifyTarget[] = [];
const logged: string[] = [];
const variables: string[] = [];

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  [temporal, webhooks, mailServer] = await Promise.all([
    TestWorkflowEnvironment.createLocal({
      server: { executable: { type: 'existing-path', path: temporalBinary() } },
    }),
    Webhooks.start(),
    MailServer.start(PASSWORD),
  ]);
  const { code } = await bundleWorkflowCode({
    workflowsPath: path.resolve('test/stack/fixtures/notify-workflow.ts'),
    logger: quiet,
  });
  const logger = pino({}, { write: (line: string) => logged.push(line) });
  const loadPipeline = (name: string) => ({ name, notify: targets }) as PipelineDefinition;
  worker = await Worker.create({
    connection: temporal.nativeConnection,
    taskQueue: 'notices',
    workflowBundle: { code },
    activities: noticeActivities({ logger, loadPipeline, ledger: { latest: async () => new Map() } }),
  });
  working = worker.run();
});
afterAll(async () => {
  worker?.shutdown();
  await working;
  await Promise.all([temporal?.teardown(), webhooks?.stop(), mailServer?.stop()]);
});
afterEach(() => {
  for (const name of variables.splice(0)) delete process.env[name];
});

let count = 0;
/** The name of a new environment variable with that value. */
function variable(value: string): string {
  const name = `NOTICES_TEST_${++count}`;
  process.env[name] = value;
  variables.push(name);
  return name;
}

/** A webhook with a secret in its address: its path, and the variable that has it. */
function webhook(...answers: Parameters<Webhooks['url']>[1][]): [path: string, variable: string] {
  const place = `/${SECRET}/${++count}`;
  return [place, variable(webhooks.url(place, ...answers))];
}

const NOTICE: Notice = {
  event: 'waiting',
  pipeline: 'shop~1a2b3c4d',
  at: '2025-07-20T03:00:00.000Z',
  partitions: [
    {
      partition: '2025-07-16',
      status: 'waiting',
      step: 'dbt_build',
      failure: {
        id: 'run-1',
        fingerprint: '0123456789ab',
        kind: 'test_failure',
        tests: ['unique_orders'],
        message: 'ada@example.com is there twice\r\nBcc: eve@example.com\n.\nend',
      },
      proposal: null,
      decidesAt: null,
    },
  ],
  backfill: null,
};

/** Sends a notice to these targets; gives how it failed, or null. */
async function send(to: NotifyTarget[], more: Partial<Notice> = {}): Promise<ApplicationFailure | null> {
  targets = to;
  const handle = await temporal.client.workflow.start<typeof sendNotice>('sendNotice', {
    args: [{ ...NOTICE, ...more }],
    taskQueue: 'notices',
    workflowId: `notice-${++count}`,
  });
  const error = await handle.result().then(
    () => null,
    (reason: WorkflowFailedError) => reason.cause,
  );
  const history = JSON.stringify(await handle.fetchHistory());
  for (const secret of [SECRET, PASSWORD, Buffer.from(SECRET).toString('base64')]) {
    expect(history + logged.join('')).not.toContain(secret);
  }
  return error instanceof ActivityFailure ? (error.cause as ApplicationFailure) : null;
}

test('each target hears it once, in its own form, and one that is down hears it when it is up again', async () => {
  const [slackPath, slack] = webhook(500, { status: 429, headers: { 'retry-after': '1' } });
  const [jsonPath, json] = webhook();
  const email = { to: ['ada@shop.test', 'bob@shop.test'], from: 'dayfill@shop.test' };
  const smtp = variable(`smtp://dayfill:${PASSWORD}@${mailServer.address}`);
  expect(
    await send([
      { slack, on: ['waiting'] },
      { webhook: json, on: ['waiting', 'finished'] },
      { email: { ...email, smtp }, on: ['waiting'] },
    ]),
  ).toBeNull();

  const [first, second, third, ...more] = webhooks.sentTo(slackPath);
  expect(more).toEqual([]);
  expect(second!.body).toEqual(first!.body);
  expect(third!.at - second!.at).toBeGreaterThanOrEqual(1000);
  expect(third!.body).toMatchObject({
    text: expect.stringContaining('dayfill resolve shop~1a2b3c4d 2025-07-16 retry --failure run-1'),
    blocks: expect.arrayContaining([{ type: 'section', text: { type: 'mrkdwn', text: expect.any(String) } }]),
  });
  expect(third!.body.text).toContain('&lt;email&gt; is there twice');

  const [posted, ...again] = webhooks.sentTo(jsonPath);
  expect(again).toEqual([]);
  expect(posted!.headers['content-type']).toBe('application/json; charset=utf-8');
  expect(posted!.body).toMatchObject({
    title: 'shop~1a2b3c4d: 2025-07-16 waits for a decision',
    text: expect.stringContaining('temporal workflow update execute -w shop~1a2b3c4d/2025-07-16'),
    event: 'waiting',
    partitions: [{ partition: '2025-07-16', failure: { id: 'run-1', message: expect.stringMatching(/^<email>/) } }],
  });

  const [mail, ...others] = mailServer.mails;
  expect(others).toEqual([]);
  expect(mail).toMatchObject({ from: email.from, to: email.to });
  expect(mail!.headers).toMatchObject({ subject: '[dayfill] shop~1a2b3c4d: 2025-07-16 waits for a decision' });
  expect(Object.keys(mail!.headers)).not.toContain('bcc');
  expect(mail!.body).toContain('<email> is there twice\nBcc: <email>\n.\nend\n');
});

test('a newline in the name of a step or pipeline makes no header', async () => {
  mailServer.mails.length = 0;
  const smtp = variable(`smtp://dayfill:${PASSWORD}@${mailServer.address}`);
  const target: NotifyTarget = { email: { to: ['ada@shop.test'], from: 'dayfill@shop.test', smtp }, on: ['fixed'] };
  const partitions = NOTICE.partitions.map((one) => ({ ...one, partition: '2025\r\nBcc: eve@shop.test\r\n\r\nhi' }));
  expect(await send([target], { event: 'fixed', partitions })).toBeNull();
  expect(mailServer.mails[0]!.to).toEqual(['ada@shop.test']);
  expect(Object.keys(mailServer.mails[0]!.headers)).not.toContain('bcc');
});

test('only who asked for an event hears of it', async () => {
  const [heard, one] = webhook();
  const [silent, other] = webhook();
  await send(
    [
      { webhook: one, on: ['reminder'] },
      { webhook: other, on: ['waiting'] },
    ],
    { event: 'reminder' },
  );
  expect([webhooks.sentTo(heard).length, webhooks.sentTo(silent).length]).toEqual([1, 0]);
});

test('who refuses is given up, the others are told, and no secret is said', async () => {
  const [goodPath, good] = webhook(500);
  const [gonePath, gone] = webhook(404);
  const [, moved] = webhook({ status: 302, headers: { location: webhooks.url(`/${SECRET}/moved`) } });
  const plain = variable(`http://hooks.example.com/${SECRET}`);
  const noUrl = variable(SECRET);
  const wrong = variable(`smtp://dayfill:wrong-${PASSWORD}@${mailServer.address}`);
  const right = variable(`smtp://dayfill:${PASSWORD}@${mailServer.address}`);
  const failure = await send([
    { slack: gone, on: ['waiting'] },
    { webhook: moved, on: ['waiting'] },
    { webhook: plain, on: ['waiting'] },
    { slack: noUrl, on: ['waiting'] },
    { slack: 'NOTICES_TEST_UNSET', on: ['waiting'] },
    { email: { to: ['ada@shop.test'], from: 'dayfill@shop.test', smtp: wrong }, on: ['waiting'] },
    { email: { to: ['ada@shop.test', 'nobody@shop.test'], from: 'dayfill@shop.test', smtp: right }, on: ['waiting'] },
    { slack: good, on: ['waiting'] },
  ]);
  expect(failure).toMatchObject({ type: 'NotTold', nonRetryable: true });
  expect(failure!.message.split(/(?<=\.) (?=The)/)).toEqual([
    `The webhook of ${gone} answered 404.`,
    `The webhook of ${moved} answered 302, a redirect, which is not followed.`,
    `The URL in ${plain} begins with http://, which anyone on the way can read: use https://.`,
    `The environment variable ${noUrl} does not hold a URL that begins with https://.`,
    'The environment variable NOTICES_TEST_UNSET is not set where the worker runs.',
    `The mail server of ${wrong} answered 535 (EAUTH).`,
    `The mail server of ${right} refused 1 of 2 recipients.`,
  ]);
  expect([goodPath, gonePath, `/${SECRET}/moved`].map((place) => webhooks.sentTo(place).length)).toEqual([2, 1, 0]);
});

test('who does not answer, or cannot be reached, is tried again', async () => {
  const [path, hanging] = webhook('hang');
  const closed = await Webhooks.start();
  const nobody = variable(closed.url(`/${SECRET}`));
  await closed.stop();
  const failure = await send([
    { webhook: hanging, on: ['waiting'] },
    { webhook: nobody, on: ['waiting'] },
  ]);
  expect(failure).toMatchObject({ nonRetryable: false });
  expect(failure!.message).toContain(`The webhook of ${nobody} cannot be reached (ECONNREFUSED).`);
  expect(webhooks.sentTo(path)).toHaveLength(2);
  expect(logged.join('')).toContain(`The webhook of ${hanging} did not answer within 10 seconds.`);
});
