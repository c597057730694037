import path from 'node:path';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { DEFAULT_PORTS } from '../../config.js';
import { answersOk } from '../reachability.js';
import type { Service } from '../service.js';
import { findTemporal } from '../temporal-binary.js';

/**
 * The dev server polls its own queues 20 times a second; a day of two steps takes six times as long with that. It looks through
 * what it did since it last noted how far it is with each new task, and notes that twice a minute: with many days at once a
 * fifth of its work.
 */
const DYNAMIC_CONFIG = {
  'history.transferProcessorMaxPollRPS': 2000,
  'history.timerProcessorMaxPollRPS': 2000,
  'history.visibilityProcessorMaxPollRPS': 2000,
  'history.transferProcessorUpdateAckInterval': '2s',
  'history.timerProcessorUpdateAckInterval': '2s',
  'history.visibilityProcessorUpdateAckInterval': '2s',
};
const SQLITE_PRAGMAS = { journal_mode: 'WAL', synchronous: 'NORMAL' };

/** As every client of this environment reads it: `TEMPORAL_*`, then temporal.toml. */
function clientConfigOf(environment: NodeJS.ProcessEnv) {
  const set = Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return loadClientConnectConfig({ overrideEnvVars: Object.fromEntries(set) });
}

function namespaceOf(environment: NodeJS.ProcessEnv): string {
  return clientConfigOf(environment).namespace ?? 'default';
}

/** Temporal's dev server and its Web UI, one process; its data stays in one SQLite file. */
export const temporal: Service = {
  name: 'temporal',
  endpoints: [
    { name: 'temporal', usualPort: DEFAULT_PORTS.temporal, address: (port) => `127.0.0.1:${port}` },
    { name: 'temporal-ui', usualPort: DEFAULT_PORTS.temporalUi, address: (port) => `http://127.0.0.1:${port}` },
  ],
  after: [],
  startWithinMs: 60_000,
  stopWithinMs: 10_000,
  providedAt: (environment) => clientConfigOf(environment).connectionOptions.address ?? null,
  launch({ config, environment }, [port, uiPort]) {
    const folder = path.join(config.stateDir, 'temporal');
    const dynamicConfig = Object.entries(DYNAMIC_CONFIG).map(
      ([key, value]) => `--dynamic-config-value=${key}=${JSON.stringify(value)}`,
    );
    const pragmas = Object.entries(SQLITE_PRAGMAS).map(([key, value]) => `--sqlite-pragma=${key}=${value}`);
    return {
      program: findTemporal(),
      args: [
        ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort)],
        ...[
          '--db-filename',
          path.join(folder, 'temporal.db'),
          '--namespace',
          namespaceOf(environment),
          '--log-level',
          'warn',
        ],
        ...dynamicConfig,
        ...pragmas,
      ],
      folders: [folder],
    };
  },
  /** Asked through the Web UI, so that one answer speaks for both. */
  isHealthy({ environment }, { ports: [, uiPort] }) {
    return answersOk(`http://127.0.0.1:${uiPort}/api/v1/namespaces/${namespaceOf(environment)}`);
  },
  async prepare({ environment }, { ports: [port] }) {
    // Loaded late: the SDK takes its time, and a stack that is up doesn't need it.
    const { prepareNamespace } = await import('../temporal-namespace.js');
    await prepareNamespace(`127.0.0.1:${port}`, namespaceOf(environment));
  },
};
