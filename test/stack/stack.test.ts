import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';
import { Storage } from '@google-cloud/storage';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { execa } from 'execa';
import { type Config, loadConfig, stackFile } from '../../src/config.js';
import { SEARCH_ATTRIBUTE_NAMES } from '../../src/contracts/search-attributes.js';
import { startTimeOf } from '../../src/runners/processes.js';
import { accepts } from '../../src/stack/reachability.js';
import { stackUp } from '../../src/stack/stack.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { FREE_PORTS, startTestStack, type TestStack } from '../support/stack.js';

const PROJECT = 'talbots-og-map-dev';
const SERVICES = ['temporal', 'bigquery', 'storage', 'worker'];
const COMMAND = path.resolve('bin/dayfill.js');

/** `name -> [pid, address]` of everything that is up. */
async function whatIsUp(stack: TestStack): Promise<Record<string, [number | null, string | null]>> {
  const up = (await stack.status()).filter(({ state }) => state === 'up');
  return Object.fromEntries(up.map(({ name, pid, address }) => [name, [pid, address]]));
}

/** Every process that has the state folder on its command line or in its environment. Linux only, as CI is. */
async function processesOf(stateDir: string): Promise<string[]> {
  const { stdout } = await execa('ps', ['-eww', '-o', 'pid=,args=']);
  const lines = stdout.split('\n').map((line) => line.trim());
  return lines.filter((line) => {
    const pid = Number.parseInt(line, 10);
    return line.includes(stateDir) || (pid !== process.pid && environmentOf(pid).includes(stateDir));
  });
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return '';
  }
}

async function temporalClient(config: Config): Promise<Client> {
  return new Client({ connection: await Connection.connect({ address: config.stackTemporal! }) });
}

async function takePort() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { port: (server.address() as { port: number }).port, release: () => server.close() };
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe('a stack that is up', () => {
  let stack: TestStack;
  beforeAll(async () => {
    stack = await startTestStack();
  });
  afterAll(() => stack.stop());

  test('answers everywhere, on the loopback only', async () => {
    const status = await stack.status();
    expect(status.map(({ name, state }) => [name, state])).toEqual(
      ['temporal', 'temporal-ui', 'bigquery', 'storage', 'worker'].map((name) => [name, 'up']),
    );
    const addresses = status.flatMap(({ address }) => (address === null ? [] : [address]));
    expect(await Promise.all(addresses.map(accepts))).toEqual([true, true, true, true]);
    const other = Object.values(networkInterfaces())
      .flat()
      .find((face) => face?.family === 'IPv4' && !face.internal);
    if (other !== undefined) {
      const elsewhere = addresses.map((address) => address.replace('127.0.0.1', other.address));
      expect(await Promise.all(elsewhere.map(accepts))).toEqual([false, false, false, false]);
    }
  });

  test('has a namespace with the search attributes and a month of retention', async () => {
    const { connection } = await temporalClient(stack.config());
    try {
      const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
      expect(Object.keys(customAttributes)).toEqual(expect.arrayContaining([...SEARCH_ATTRIBUTE_NAMES]));
      const { config } = await connection.workflowService.describeNamespace({ namespace: 'default' });
      expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(30 * 24 * 3600);
    } finally {
      await connection.close();
    }
  });

  test('is left as it is by another `up`', async () => {
    const before = await whatIsUp(stack);
    const lines = await stack.up();
    expect(lines.map((line) => line.split(' ').slice(0, 2).join(' ')).sort()).toEqual(
      SERVICES.map((name) => `${name}: up`).sort(),
    );
    expect(await whatIsUp(stack)).toEqual(before);
  });

  test('tells its state as JSON', async () => {
    const { stdout } = await execa(process.execPath, [COMMAND, 'stack', 'status', '--json'], {
      env: stack.env,
      extendEnv: false,
    });
    expect(JSON.parse(stdout)).toEqual({ services: await stack.status() });
  });

  test.each(SERVICES)('restarts only %s after its kill -9, on its old port', async (name) => {
    const before = await whatIsUp(stack);
    process.kill(await stack.pid(name), 'SIGKILL');
    await until(async () => (await whatIsUp(stack))[name] === undefined);
    const lines = await stack.up();
    expect(lines.filter((line) => line.includes('starting it again'))).toEqual([
      `${name}: has died, starting it again`,
    ]);
    const after = await whatIsUp(stack);
    for (const [other, [pid, address]] of Object.entries(before)) {
      expect(after[other]?.[1]).toBe(address);
      if (other.replace('-ui', '') === name) expect(after[other]?.[0]).not.toBe(pid);
      else expect(after[other]?.[0]).toBe(pid);
    }
  });

  test('keeps workflows, tables and objects over kill -9 and over `down`', async () => {
    const client = await temporalClient(stack.config());
    await client.workflow.start('someday', { taskQueue: 'nobody', workflowId: 'kept' });
    await client.connection.close();
    const dataset = () => bigQueryClients(stack.config())(PROJECT).dataset('kept');
    await dataset().create();
    await dataset().query('create table kept.t as select 1 as n');
    const bucket = () =>
      new Storage({ projectId: PROJECT, apiEndpoint: stack.config().storageEndpoint! }).bucket('kept');
    await bucket().create();
    await bucket().file('a.txt').save('kept');

    const check = async () => {
      const again = await temporalClient(stack.config());
      expect((await again.workflow.getHandle('kept').describe()).status.name).toBe('RUNNING');
      await again.connection.close();
      expect(await dataset().query('select n from kept.t')).toEqual([[{ n: 1 }], expect.anything(), expect.anything()]);
      expect((await bucket().file('a.txt').download()).toString()).toBe('kept');
    };
    for (const name of SERVICES) process.kill(await stack.pid(name), 'SIGKILL');
    await stack.up();
    await check();
    await stack.down();
    await stack.up();
    await check();
  });

  test('restarts the worker, and nothing else, for other settings', async () => {
    const before = await whatIsUp(stack);
    stack.env.DAYFILL_MAX_STEPS = '7';
    const lines = await stack.up();
    expect(lines).toContain('worker: runs an older build or other settings, starting it again');
    const { worker, ...others } = await whatIsUp(stack);
    expect(worker?.[0]).not.toBe(before.worker?.[0]);
    expect({ ...others, worker: before.worker }).toEqual(before);
  });

  test('is brought up once by two `up`s at once', async () => {
    for (const name of SERVICES) process.kill(await stack.pid(name), 'SIGKILL');
    const [one, other] = await Promise.all([stack.up(), stack.up()]);
    const started = [...one, ...other].filter((line) => line.includes(': started'));
    expect(started.map((line) => line.split(':')[0]).sort()).toEqual([...SERVICES].sort());
    expect(Object.keys(await whatIsUp(stack))).toHaveLength(5);
  });

  test('leaves no process and no taken port after `down`, and `down` again is harmless', async () => {
    const pids = Object.values(await whatIsUp(stack)).map(([pid]) => pid!);
    const addresses = (await stack.status()).flatMap(({ address }) => (address === null ? [] : [address]));
    const lines = await stack.down();
    expect(lines[0]).toBe('worker: stopped');
    expect(pids.map(startTimeOf)).toEqual(pids.map(() => null));
    expect(await processesOf(stack.stateDir)).toEqual([]);
    expect(await Promise.all(addresses.map(accepts))).toEqual([false, false, false, false]);
    expect(existsSync(stackFile(stack.stateDir))).toBe(false);
    expect((await stack.status()).every(({ state, pid }) => state === 'down' && pid === null)).toBe(true);
    expect(await stack.down()).toEqual(['nothing is running']);
  });
});

describe('a stack that is down', () => {
  let stack: TestStack;
  beforeAll(async () => {
    stack = await startTestStack({ services: [] });
  });
  afterEach(() => stack.down());
  afterAll(() => stack.stop());

  test('moves a service whose port is taken, and says so', async () => {
    const { port, release } = await takePort();
    try {
      const lines: string[] = [];
      await stackUp({
        config: stack.config(),
        log: (line) => lines.push(line),
        services: ['storage'],
        usualPorts: { storage: port },
        environment: stack.env,
      });
      const { storageEndpoint } = stack.config();
      const moved = Number(new URL(storageEndpoint!).port);
      expect(moved).not.toBe(port);
      expect(lines[0]).toBe(`storage: port ${port} is taken, using ${moved}`);
      expect(await accepts(storageEndpoint!)).toBe(true);
    } finally {
      release();
    }
  });

  test('is left as it was by Ctrl-C in the middle of `up`', async () => {
    // Recorded ports are taken again, so that the command line keeps off the usual ones.
    await stack.up(['temporal', 'bigquery', 'storage']);
    const pids = Object.values(await whatIsUp(stack)).map(([pid]) => pid!);
    for (const pid of new Set(pids)) process.kill(pid, 'SIGKILL');
    await until(() => pids.every((pid) => startTimeOf(pid) === null));
    const up = execa(process.execPath, [COMMAND, 'stack', 'up'], { env: stack.env, extendEnv: false, reject: false });
    const recorded = () =>
      JSON.parse(readFileSync(stackFile(stack.stateDir), 'utf8')) as { services: { pid: number }[] };
    await until(() => recorded().services.every(({ pid }) => startTimeOf(pid) !== null));
    up.kill('SIGINT');
    expect((await up).exitCode).toBe(130);
    expect(await processesOf(stack.stateDir)).toEqual([]);
    expect(existsSync(stackFile(stack.stateDir))).toBe(false);
  });

  test('says with the last lines of its log that a service died at its start', async () => {
    const venv = mkdtempSync(path.join(tmpdir(), 'dayfill-broken-venv-'));
    mkdirSync(path.join(venv, 'bin'));
    writeFileSync(path.join(venv, 'bin/python'), '#!/bin/sh\necho no module named emulator >&2\nexit 3\n');
    chmodSync(path.join(venv, 'bin/python'), 0o755);
    const config = loadConfig({ ...stack.env, DAYFILL_VENV: venv });
    const up = stackUp({
      config,
      log: () => {},
      services: ['bigquery'],
      usualPorts: FREE_PORTS,
      environment: stack.env,
    });
    await expect(up).rejects.toThrow(/^bigquery ended at its start \(exit code 3\):\nno module named emulator\n/);
    expect(existsSync(stackFile(stack.stateDir))).toBe(false);
    rmSync(venv, { recursive: true });
  });

  test('starts nothing when something is not installed', async () => {
    const config = loadConfig({ ...stack.env, DAYFILL_VENV: '/nowhere/venv' });
    await expect(stackUp({ config, log: () => {}, usualPorts: FREE_PORTS, environment: stack.env })).rejects.toThrow(
      'There is no Python environment at /nowhere/venv: run "npm run setup", or set DAYFILL_VENV.',
    );
    expect(existsSync(stackFile(stack.stateDir))).toBe(false);
  });

  test('starts nothing that the environment provides, and says so', async () => {
    const { port, release } = await takePort();
    const environment = {
      ...stack.env,
      TEMPORAL_ADDRESS: `127.0.0.1:${port}`,
      DAYFILL_BIGQUERY_ENDPOINT: 'http://127.0.0.1:1',
    };
    const lines: string[] = [];
    const services = ['temporal', 'bigquery'] as const;
    await stackUp({ config: loadConfig(environment), log: (line) => lines.push(line), services, environment });
    expect(lines).toEqual([
      `temporal: not started, the environment says it is at 127.0.0.1:${port}`,
      'bigquery: not started, the environment says it is at http://127.0.0.1:1',
    ]);
    expect(existsSync(stackFile(stack.stateDir))).toBe(false);
    const { stdout } = await execa(process.execPath, [COMMAND, 'stack', 'status', '--json'], {
      env: environment,
      extendEnv: false,
    });
    expect(JSON.parse(stdout).services).toEqual(
      expect.arrayContaining([
        { name: 'temporal', state: 'up', pid: null, address: `127.0.0.1:${port}` },
        { name: 'bigquery', state: 'down', pid: null, address: 'http://127.0.0.1:1' },
      ]),
    );
    release();
  });
});
