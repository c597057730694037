import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ConfigError, loadConfig } from '../../../src/config.js';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(path.join(tmpdir(), 'dayfill-config-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const refused = (environment: NodeJS.ProcessEnv): string => {
  try {
    loadConfig(environment, cwd);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error('it was taken');
};

describe('a setting that cannot be used names its variable and what was expected', () => {
  test.each([
    ['DAYFILL_BIGQUERY_ENDPOINT', 'localhost:9050', /a URL such as http:\/\/127\.0\.0\.1:9050/],
    ['DAYFILL_STORAGE_ENDPOINT', 'ftp://x', /a URL such as/],
    ['DAYFILL_LEDGER', 'dataset', /project\.dataset/],
    ['DAYFILL_LEDGER', 'p`; drop table x;--.d', /project\.dataset/],
    ['DAYFILL_LOCATION', '$(x)', /a BigQuery location, e\.g\. US/],
    ['DAYFILL_LOG_LEVEL', 'loud', /debug, info, warn or error/],
    ['DAYFILL_MAX_STEPS', '0', /a whole number from 1 to 1000/],
    ['DAYFILL_MAX_STEPS', '2.5', /a whole number from 1 to 1000/],
    ['DAYFILL_PRICE_PER_TIB_USD', '-1', /dollars such as 6\.25/],
    ['DAYFILL_PRICE_PER_SLOT_HOUR_USD', 'cheap', /dollars such as 6\.25/],
    ['DAYFILL_ADVISER', 'oracle', /rules or model/],
    ['DAYFILL_ADVISER_MODEL', 'claude', /anthropic\/<model> or openai\/<model>/],
    ['DAYFILL_ADVISER_URL', 'proxy', /a URL such as/],
    ['DAYFILL_MAX_STEPS', 'many', /a whole number from 1 to 1000/],
  ])('%s=%s', (name, value, expected) => {
    const message = refused({ [name]: value });
    expect(message).toMatch(expected);
    expect(message.startsWith(`${name} is not usable: expected `)).toBe(true);
  });
});

test('an empty variable is one that is not set', () => {
  expect(loadConfig({ DAYFILL_MAX_STEPS: '', DAYFILL_PIPELINES: '' }, cwd)).toEqual(loadConfig({}, cwd));
});

test('bytes have a price, unless slots have one', () => {
  const prices = (environment: NodeJS.ProcessEnv) => loadConfig(environment, cwd).prices;
  expect(prices({})).toEqual({ perTibUsd: 6.25, perSlotHourUsd: 0 });
  expect(prices({ DAYFILL_PRICE_PER_SLOT_HOUR_USD: '0.04' })).toEqual({ perTibUsd: 0, perSlotHourUsd: 0.04 });
  expect(prices({ DAYFILL_PRICE_PER_SLOT_HOUR_USD: '0.04', DAYFILL_PRICE_PER_TIB_USD: '5' })).toEqual({
    perTibUsd: 5,
    perSlotHourUsd: 0.04,
  });
});

test('folders are absolute', () => {
  const config = loadConfig({ DAYFILL_PIPELINES: 'flows', DAYFILL_STATE_DIR: '/var/dayfill' }, cwd);
  expect(config.pipelinesDir).toBe(path.join(cwd, 'flows'));
  expect([config.stateDir, config.venv]).toEqual(['/var/dayfill', '/var/dayfill/venv']);
});

describe('the embedded stack', () => {
  const stackFile = (text: string) => writeFileSync(path.join(cwd, 'stack.json'), text);
  const environment = () => ({ DAYFILL_STATE_DIR: cwd });

  test('gives its addresses, and the environment goes before', () => {
    stackFile(JSON.stringify({ services: [{ name: 'bigquery', address: 'http://127.0.0.1:1' }] }));
    expect(loadConfig(environment(), cwd).bigqueryEndpoint).toBe('http://127.0.0.1:1');
    const given = { ...environment(), DAYFILL_BIGQUERY_ENDPOINT: 'http://127.0.0.1:2' };
    expect(loadConfig(given, cwd).bigqueryEndpoint).toBe('http://127.0.0.1:2');
  });

  test.each(['', '{"services":', '[]', '{"services":[{"name":1}]}'])('a damaged file is told: %s', (text) => {
    stackFile(text);
    expect(refused(environment())).toMatch(/stack\.json is damaged: .*dayfill stack up/);
  });
});
