import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import getPort, { portNumbers } from 'get-port';
import { type Config, loadConfig } from '../../src/config.js';
import type { ServiceName } from '../../src/stack/service.js';
import { type ServiceStatus, stackDown, stackStatus, stackUp } from '../../src/stack/stack.js';

/** Ports that nobody else has, not the usual ones: other stacks run beside a test. */
export const FREE_PORTS = { temporal: 0, 'temporal-ui': 0, bigquery: 0, storage: 0 };

/** Below those that the system gives to outgoing connections: one of them could take the port of a killed service. */
async function portsThatStayFree(): Promise<typeof FREE_PORTS> {
  const start = 10_000 + Math.floor(Math.random() * 20_000);
  const next = () => getPort({ port: portNumbers(start, start + 1000), host: '127.0.0.1' });
  return { temporal: await next(), 'temporal-ui': await next(), bigquery: await next(), storage: await next() };
}

export interface TestStack {
  stateDir: string;
  /** What a program needs in its environment to use this stack and no other. */
  env: Record<string, string>;
  /** The configuration with the stack's addresses, as they are now. */
  config(): Config;
  /** Brings up what is down, as `dayfill stack up` does, and gives the lines that it says. */
  up(services?: readonly ServiceName[]): Promise<string[]>;
  down(): Promise<string[]>;
  status(): Promise<ServiceStatus[]>;
  /** The process id of a service, which must be up. */
  pid(service: string): Promise<number>;
  /** Stops everything and removes the state folder. */
  stop(): Promise<void>;
}

export interface TestStackOptions {
  /** What to start. @default all of it, worker and all; [] for nothing yet */
  services?: readonly ServiceName[];
  /** Settings of the services on top, such as DAYFILL_PIPELINES. */
  env?: Record<string, string>;
}

/** Starts an embedded stack in a folder of its own, with the checkout's Python environment and build (`npm run setup`). */
export async function startTestStack({ services, env: extra = {} }: TestStackOptions = {}): Promise<TestStack> {
  const stateDir = mkdtempSync(path.join(tmpdir(), 'dayfill-stack-'));
  const env = { ...ownEnvironment(), DAYFILL_STATE_DIR: stateDir, DAYFILL_VENV: loadConfig().venv, ...extra };
  const config = () => loadConfig(env);
  const usualPorts = await portsThatStayFree();
  const stack: TestStack = {
    stateDir,
    env,
    config,
    async up(services) {
      const lines: string[] = [];
      const log = (line: string) => lines.push(line);
      await stackUp({ config: config(), log, services, usualPorts, environment: env });
      return lines;
    },
    async down() {
      const lines: string[] = [];
      await stackDown({ config: config(), log: (line) => lines.push(line) });
      return lines;
    },
    status: () => stackStatus({ config: config(), environment: env }),
    async pid(name) {
      const service = (await stack.status()).find((status) => status.name === name);
      if (service?.pid == null) throw new Error(`${name} is not up`);
      return service.pid;
    },
    async stop() {
      await stack.down();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
  try {
    await stack.up(services);
  } catch (error) {
    await stack.stop();
    throw error;
  }
  return stack;
}

/** The environment without what would point somewhere else, a temporal.toml of this machine included. */
function ownEnvironment(): Record<string, string> {
  const entries = Object.entries(process.env).filter(([name]) => !/^(DAYFILL|TEMPORAL)_/.test(name));
  return {
    ...(Object.fromEntries(entries) as Record<string, string>),
    TEMPORAL_CONFIG_FILE: path.join(tmpdir(), 'no-temporal.toml'),
  };
}
