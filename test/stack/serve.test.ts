import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { CommandLine } from '../support/command-line.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import { type Gate, startGate } from './fixtures/gate.js';
import { type Headless, ODD_ID, startHeadless } from './fixtures/headless.js';
import { until } from './fixtures/processes.js';
import { type Answer, type Served, startServe, TOKEN } from './fixtures/served.js';

const PROCESS =
  'mutation ($source: String!, $id: ID!) { processEvent(source: $source, id: $id) { success processedAt } }';
const EVENT = `query ($id: ID!) { event(id: $id) {
  id occurredAt eventName eventDescription value valueUnit eventType source processedAt
} }`;
const PERSON = `query ($identifier: String!) { person(identifier: $identifier) {
  id name emails phones loyaltyIds firstEventAt lastEventAt events sources
} }`;
const INTROSPECTION =
  '{ __schema { queryType { name } types { name fields { name type { name ofType { name } } } } } }';
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

let stack: TestStack;
let headless: Headless;
/** In production, with a rate that no test meets. */
let served: Served;
const others: Served[] = [];
let gate: Gate | undefined;

beforeAll(async () => {
  stack = await startTestStack({ services: ['bigquery'] });
  headless = await startHeadless(stack.config().bigqueryEndpoint!);
  served = await startServe({ ...stack.env, NODE_ENV: 'production' }, ...headless.options, '--rate-limit', '999999');
});
afterEach(async () => {
  for (const other of others.splice(0)) other.kill('SIGKILL');
  await gate?.stop();
  gate = undefined;
});
afterAll(async () => {
  served?.kill('SIGKILL');
  headless?.stop();
  await stack?.stop();
});

/** Another one, with a rate that no test meets unless told otherwise. */
async function another(env: Record<string, string> = {}, ...options: string[]): Promise<Served> {
  const other = await startServe({ ...stack.env, ...env }, ...headless.options, '--rate-limit', '999999', ...options);
  others.push(other);
  return other;
}

/** Another one whose warehouse is behind a gate. */
async function behindGate(): Promise<{ gate: Gate; other: Served }> {
  gate = await startGate(stack.config().bigqueryEndpoint!);
  return { gate, other: await another({ DAYFILL_BIGQUERY_ENDPOINT: gate.address }) };
}

const processed = (source: string, id: string, by = served) => by.ask(PROCESS, { source, id });

const done = { data: { processEvent: { success: true, processedAt: expect.stringMatching(ISO) } }, errors: [] };

/** The only error's code; it tells nothing that callers should not see. */
function code({ errors, text }: Answer): string {
  expect(errors).toHaveLength(1);
  expect(text).not.toMatch(/stack|\bat .*\.js|node_modules|insert into|select |@example\.com|127\.0\.0\.1/i);
  expect(Object.keys(errors[0]!.extensions)).toEqual(['code']);
  return errors[0]!.extensions.code;
}

async function codeOf(answer: Promise<Answer>): Promise<string> {
  return code(await answer);
}

/** Events as they are, without when they were processed. */
async function events(): Promise<Record<string, unknown>[]> {
  return (await headless.rows('events')).map(({ _ingested_at, ...row }) => row);
}

describe('processEvent', () => {
  test('a known event is processed by one job; again, the rows are the same', async () => {
    const [all, labelled] = [await headless.jobs(), await headless.jobs('orders')];
    expect(await processed('orders', 'o-1')).toMatchObject({ status: 200, ...done });
    expect([await headless.jobs(), await headless.jobs('orders')]).toEqual([all + 1, labelled + 1]);
    const rows = await events();
    expect(rows).toMatchObject([{ id: 'o-1', value: 12.5, source: 'orders' }]);
    expect(await processed('orders', 'o-1')).toMatchObject(done);
    expect(await events()).toEqual(rows);
  });

  test('an id is only ever a value, whatever is in it', async () => {
    expect(await processed('orders', ODD_ID)).toMatchObject(done);
    expect((await served.ask(EVENT, { id: ODD_ID })).data).toMatchObject({ event: { id: ODD_ID, value: 1.5 } });
    for (const id of [`o-1' or '1'='1`, 'o-1\\', 'o-1\n', '`', '@source', '%']) {
      expect(await codeOf(processed('orders', id))).toBe('UNKNOWN_EVENT');
    }
  });

  test.each(['', 'x'.repeat(257), 'o-1\0', '\ud800'])('an id that is none is refused: %j', async (id) => {
    const jobs = await headless.jobs('orders');
    expect(await codeOf(processed('orders', id))).toBe('BAD_USER_INPUT');
    expect(await headless.jobs('orders')).toBe(jobs);
  });

  test.each(['nowhere', 'constructor', '__proto__', '', "orders' --"])('there is no source %j', async (source) => {
    const answer = await processed(source, 'o-1');
    expect(code(answer)).toBe('UNKNOWN_SOURCE');
    expect(answer.data).toEqual({ processEvent: null });
    expect(answer.errors[0]!.message).toContain('broken, contended, crowded, orders');
  });

  test('there is no such event', async () => {
    expect(await codeOf(processed('orders', 'o-404'))).toBe('UNKNOWN_EVENT');
  });

  test.each([2, 20])('%i calls at once for one event all succeed, one after another', async (calls) => {
    const jobs = await headless.jobs('orders');
    const answers = await Promise.all(Array.from({ length: calls }, () => processed('orders', 'o-2')));
    for (const answer of answers) expect(answer).toMatchObject(done);
    expect((await events()).filter(({ id }) => id === 'o-2')).toHaveLength(1);
    expect(await headless.jobs('orders')).toBe(jobs + calls);
  });

  test('a script that fails midway leaves everything as it was', async () => {
    const before = await headless.rows('events');
    const jobs = await headless.jobs('broken');
    expect(await codeOf(processed('broken', 'o-1'))).toBe('WAREHOUSE_ERROR');
    expect(await headless.rows('events')).toEqual(before);
    expect(await headless.jobs('broken')).toBe(jobs + 1);
    expect(await processed('orders', 'o-1')).toMatchObject(done);
  });

  test('a transaction that others abort is tried again, 5 times at most', async () => {
    expect(await processed('contended', 'o-3')).toMatchObject(done);
    expect(await headless.jobs('contended')).toBe(3);
    expect(await codeOf(processed('crowded', 'o-3'))).toBe('WAREHOUSE_UNAVAILABLE');
    expect(await headless.jobs('crowded')).toBe(6);
    expect((await events()).filter(({ source }) => source === 'crowded')).toEqual([]);
  });

  test('when too many wait, the next one is refused', async () => {
    const { gate, other } = await behindGate();
    gate.close();
    const calls = Array.from({ length: 60 }, () => processed('orders', 'o-3', other));
    const refused = await Promise.any(calls);
    expect(code(refused)).toBe('OVERLOADED');
    gate.open();
    const codes = (await Promise.all(calls)).map(({ errors }) => errors[0]?.extensions.code);
    expect(codes.filter((code) => code === undefined)).toHaveLength(51);
    expect(codes.filter((code) => code === 'OVERLOADED')).toHaveLength(9);
  });
});

describe('looking up', () => {
  test('an event that was processed, and none that was not', async () => {
    await processed('orders', 'o-1');
    expect((await served.ask(EVENT, { id: 'o-1' })).data).toEqual({
      event: {
        ...{ id: 'o-1', occurredAt: '2025-07-01T10:00:00.000Z', eventName: 'order', eventDescription: null },
        ...{ value: 12.5, valueUnit: 'USD', eventType: null, source: 'orders' },
        processedAt: expect.stringMatching(ISO),
      },
    });
    expect((await served.ask(EVENT, { id: 'o-404' })).data).toEqual({ event: null });
  });

  test('persons by any of their identifiers', async () => {
    const jane = {
      ...{ id: '9007199254740993', name: 'Jane', emails: ['jane@example.com', 'j@example.com'] },
      ...{ phones: ['+12125550123'], loyaltyIds: [], events: 2, sources: ['orders'] },
      ...{ firstEventAt: '2025-07-01T00:00:00.000Z', lastEventAt: '2025-07-03T00:00:00.000Z' },
    };
    const persons = async (identifier: string) => (await served.ask(PERSON, { identifier })).data?.person;
    expect(await persons('j@example.com')).toEqual([jane]);
    expect(await persons('+12125550123')).toEqual([expect.objectContaining({ id: '-5', name: null }), jane]);
    expect(await persons("nobody' or '1'='1")).toEqual([]);
    expect(await codeOf(served.ask(PERSON, { identifier: 'x'.repeat(257) }))).toBe('BAD_USER_INPUT');
  });
});

describe('who may call', () => {
  test.each(['', 'Bearer', `Basic ${TOKEN}`, 'Bearer wrong-token-of-these-tests', `Bearer ${TOKEN}x`])(
    'not whoever comes with %j',
    async (authorization) => {
      const answer = await served.ask('{ __typename }', {}, { authorization });
      expect({ status: answer.status, code: code(answer) }).toEqual({ status: 401, code: 'UNAUTHENTICATED' });
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    },
  );

  test('either of two tokens while one replaces the other', async () => {
    const other = await another({ DAYFILL_API_TOKEN: 'the-old-token-0123, the-new-token-0123' });
    for (const token of ['the-old-token-0123', 'the-new-token-0123']) {
      expect((await other.ask('{ __typename }', {}, { authorization: `Bearer ${token}` })).status).toBe(200);
    }
    const both = { authorization: 'Bearer the-old-token-0123, the-new-token-0123' };
    expect((await other.ask('{ __typename }', {}, both)).status).toBe(401);
  });

  test('as often a minute as the limit allows, each by itself', async () => {
    const token = (name: string) => ({ authorization: `Bearer the-token-of-${name}` });
    const tokens = 'the-token-of-anna,the-token-of-ben';
    const other = await another({ DAYFILL_API_TOKEN: tokens }, '--rate-limit', '3');
    const ask = (name: string) => other.ask('{ __typename }', {}, token(name));
    for (let i = 0; i < 3; i++) expect((await ask('anna')).status).toBe(200);
    const refused = await ask('anna');
    expect({ status: refused.status, code: code(refused) }).toEqual({ status: 429, code: 'RATE_LIMITED' });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await ask('ben')).status).toBe(200);
    for (const name of ['carl', 'dora', 'emil']) expect((await ask(name)).status).toBe(401);
    expect((await ask('guess')).status).toBe(429);
    expect((await ask('ben')).status).toBe(200);
    expect((await other.get('/healthz')).status).toBe(200);
  });
});

describe('what may be asked', () => {
  test('not for a thousand events at once', async () => {
    const field = (i: number) => `a${i}: processEvent(source: "orders", id: "o-1") { success }`;
    const jobs = await headless.jobs('orders');
    const flood = (count: number) => `mutation { ${Array.from({ length: count }, (_, i) => field(i)).join(' ')} }`;
    const inFragments = `mutation { ...A } fragment A on Mutation { ${field(0)} ${field(1)} ...B }
      fragment B on Mutation { ${field(2)} ${field(3)} }`;
    for (const query of [flood(4), flood(50), inFragments]) {
      const answer = await served.ask(query);
      expect({ status: answer.status, code: code(answer) }).toEqual({ status: 400, code: 'GRAPHQL_VALIDATION_FAILED' });
    }
    expect(await codeOf(served.ask(`{ ${'__typename '.repeat(1001)} }`))).toBe('GRAPHQL_PARSE_FAILED');
    expect(await headless.jobs('orders')).toBe(jobs);
    expect((await served.ask(flood(3))).errors).toEqual([]);
  });

  test('nothing too deep', async () => {
    const other = await another({ NODE_ENV: 'development' });
    const deep = '{ __type(name: "Event") { fields { type { ofType { ofType { ofType { name } } } } } } }';
    const answer = await other.ask(deep);
    expect({ status: answer.status, code: code(answer) }).toEqual({ status: 400, code: 'GRAPHQL_VALIDATION_FAILED' });
  });

  test('the schema, but not in production', async () => {
    const asked = await served.ask(INTROSPECTION);
    expect(code(asked)).toBe('GRAPHQL_VALIDATION_FAILED');
    expect(asked.errors[0]!.message).toContain('introspection is not allowed');
    const mistaken = await served.ask('{ evnt(id: "1") { id } }');
    expect(mistaken.errors[0]!.message).not.toContain('Did you mean');
    const other = await another({ NODE_ENV: 'development' });
    expect((await other.ask(INTROSPECTION)).data).toMatchObject({ __schema: { queryType: { name: 'Query' } } });
  });

  test('not by a large body, one that is no JSON, several at once, or a form', async () => {
    const asked = async (body: string, headers: Record<string, string> = {}) => {
      const answer = await served.post(body, headers);
      return [answer.status, code(answer)];
    };
    const query = JSON.stringify({ query: '{ __typename }' });
    expect(await asked(JSON.stringify({ query: `{ __typename } #${'x'.repeat(17_000)}` }))).toEqual([
      413,
      'PAYLOAD_TOO_LARGE',
    ]);
    expect(await asked('{ "query": ')).toEqual([400, 'BAD_REQUEST']);
    expect(await asked(`[${query}, ${query}]`)).toEqual([400, 'BAD_REQUEST']);
    expect(await asked(query, { 'content-type': 'text/plain' })).toEqual([400, 'BAD_REQUEST']);
    expect(await asked(query, { 'content-encoding': 'nonsense' })).toEqual([415, 'BAD_REQUEST']);
  });

  test('only by POST, and only /graphql; there is no landing page', async () => {
    const authorization = `Bearer ${TOKEN}`;
    for (const url of [`${served.address}/graphql?query={__typename}`, `${served.address}/graphql`]) {
      expect((await fetch(url, { headers: { accept: 'text/html', authorization } })).status).toBe(405);
    }
    const missing = await served.get('/');
    expect([missing.status, code(missing)]).toEqual([404, 'NOT_FOUND']);
    expect(missing.headers.get('x-powered-by')).toBeNull();
  });

  test('a variable that does not fit is not shown again', async () => {
    const answer = await served.ask(PROCESS, { source: 'orders', id: { email: 'jane@example.com' } });
    expect(code(answer)).toBe('BAD_USER_INPUT');
    expect(answer.errors[0]!.message).toBe('Variable "$id" has a value of the wrong type.');
  });
});

describe('when the warehouse is down', () => {
  test('calls are refused with a reason, and /readyz says so until it is back', async () => {
    expect(await served.get('/readyz')).toMatchObject({ status: 200 });
    process.kill(await stack.pid('bigquery'), 'SIGKILL');
    await until('the end of the emulator', async () => (await served.get('/readyz')).status === 503);
    const calls = [
      processed('orders', 'o-1'),
      served.ask(EVENT, { id: 'o-1' }),
      served.ask(PERSON, { identifier: 'jane@example.com' }),
    ];
    for (const answer of await Promise.all(calls)) expect(code(answer)).toBe('WAREHOUSE_UNAVAILABLE');
    expect((await served.get('/healthz')).status).toBe(200);
    await stack.up(['bigquery']);
    expect(await served.get('/readyz')).toMatchObject({ status: 200 });
    expect(await processed('orders', 'o-1')).toMatchObject(done);
  });

  test('/readyz does not wait for one that hangs', async () => {
    const { gate, other } = await behindGate();
    gate.close();
    const answers = await Promise.all([other.get('/readyz'), other.get('/readyz')]);
    expect(answers.map(({ status }) => status)).toEqual([503, 503]);
    expect(gate.waiting).toBe(1);
  });
});

describe('the end', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s lets the call under way end and takes no other', async (signal) => {
    const { gate, other } = await behindGate();
    gate.close();
    const running = processed('orders', 'o-1', other);
    await until('the job', () => gate.waiting === 1);
    const waiting = processed('orders', 'o-2', other);
    // Answered after the two, so that they have been taken.
    await other.ask('{ __typename }');
    other.kill(signal);
    await until('503', async () => (await other.get('/readyz')).status === 503);
    expect((await other.get('/healthz')).status).toBe(200);
    const late = await processed('orders', 'o-3', other);
    expect([late.status, code(late)]).toEqual([503, 'SHUTTING_DOWN']);
    gate.open();
    expect(await running).toMatchObject(done);
    expect(await codeOf(waiting)).toBe('SHUTTING_DOWN');
    expect(await other.ended).toBe(0);
  });
});

describe('the start', () => {
  const command = () => new CommandLine({ ...stack.env, DAYFILL_API_TOKEN: TOKEN });
  const refused = async (args: string[], env: Record<string, string> = {}) => {
    const { code, stdout, stderr } = await command().run(['serve', '--port', '0', ...args], env);
    expect({ stdout, lines: stderr.split('\n').length }).toEqual({ stdout: '', lines: 1 });
    return { code, stderr };
  };

  test('says where it listens, to people and machines', async () => {
    expect(served.firstLine).toBe(`Serving headless at ${served.address}/graphql`);
    expect(served.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const other = await another({}, '--json');
    expect(JSON.parse(other.firstLine)).toEqual({ client: 'headless', address: other.address });
  });

  test('not on a port that is taken', async () => {
    const { port } = new URL(served.address);
    expect(await refused([...headless.options, '--port', port])).toEqual({
      code: 1,
      stderr: `dayfill: Port ${port} of 127.0.0.1 is taken: stop what listens there, or name another one with --port.`,
    });
  });

  test.each([
    ['', /is not set/],
    [' , ', /is not set/],
    ['fifteen-letters', /at least 16/],
    ['a-token-that-is-long-enough,short', /at least 16/],
    ['a token with spaces in it', /at least 16/],
  ])('not with %j for a token', async (token, why) => {
    const { code, stderr } = await refused(headless.options, { DAYFILL_API_TOKEN: token });
    expect(code).toBe(2);
    expect(stderr).toMatch(why);
    if (token.trim().length > 3) expect(stderr).not.toContain(token);
  });

  test('not with compiled models that are missing, damaged, of another client, or older than the dbt project', async () => {
    const nowhere = ['--project-dir', headless.projectDir];
    expect((await refused(nowhere)).stderr).toContain(
      `${path.join(stack.stateDir, 'models/headless.json')}: run dayfill`,
    );
    expect((await refused([...headless.options, '--client', 'other'])).stderr).toMatch(/of headless, not of other/);
    expect((await refused([...headless.options, '--project-dir', stack.stateDir])).stderr).toMatch(/no dbt project at/);
    try {
      writeFileSync(headless.modelsFile, '{');
      expect((await refused(headless.options)).stderr).toMatch(
        /\(it is not JSON\): run dayfill compile-models again\./,
      );
      headless.compile({ dataset: 'x`; drop table y' });
      expect((await refused(headless.options)).stderr).toMatch(/\(dataset: expected a BigQuery dataset\)/);
      headless.compile();
      appendFileSync(path.join(headless.projectDir, 'models/events.sql'), '-- changed\n');
      const { code, stderr } = await refused(headless.options);
      expect(code).toBe(1);
      expect(stderr).toMatch(/has changed since .* was compiled: run dayfill compile-models again\.$/);
    } finally {
      headless.compile();
    }
  });

  test('tests and results of dbt do not make compiled models stale; new models do', async () => {
    for (const folder of ['tests', 'target']) mkdirSync(path.join(headless.projectDir, folder));
    writeFileSync(path.join(headless.projectDir, 'tests/a.sql'), 'select 1');
    writeFileSync(path.join(headless.projectDir, 'target/a.sql'), 'select 1');
    const model = path.join(headless.projectDir, 'models/marts/new.sql');
    await another();
    mkdirSync(path.dirname(model));
    writeFileSync(model, '');
    expect((await refused(headless.options)).stderr).toMatch(/has changed since/);
    rmSync(path.dirname(model), { recursive: true });
  });
});

test('the log tells what was done, and nobody and no token', async () => {
  const other = await another();
  await processed('orders', 'o-1', other);
  await processed('broken', 'o-1', other);
  await other.ask(PERSON, { identifier: 'jane@example.com' });
  await other.ask('{ __typename }', {}, { authorization: 'Bearer not-the-right-token' });
  other.kill('SIGTERM');
  const log = await other.log;
  const lines = log
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines).toEqual([
    expect.objectContaining({
      operation: 'process_event',
      source: 'orders',
      durationMs: expect.any(Number),
      msg: 'done',
    }),
    expect.objectContaining({ operation: 'process_event', source: 'broken', kind: 'error', msg: 'not done' }),
    expect.objectContaining({ operation: 'person', msg: 'done' }),
    expect.objectContaining({ signal: 'SIGTERM', msg: 'shutting down' }),
    expect.objectContaining({ msg: 'shut down' }),
  ]);
  expect(log).not.toMatch(/@example\.com|o-1|token/);
});

test('a host that is asked for by name is listened on', async () => {
  const other = await another({}, '--host', 'localhost');
  expect((await other.get('/healthz')).status).toBe(200);
});
