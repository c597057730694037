import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import getPort from 'get-port';
import { loadConfig } from '../../src/config.js';
import { temporal } from '../../src/stack/services/temporal.js';
import { prepareNamespace } from '../../src/stack/temporal-namespace.js';
import { until } from '../stack/fixtures/processes.js';

/** Temporal as the stack starts it, but one that suggests early to continue as new. */
export interface EarlyServer {
  /** `host:port` */
  address: string;
  stop(): Promise<void>;
}

/** @param events how many events of a history bring the suggestion */
export async function startEarlyServer(events: number): Promise<EarlyServer> {
  const stateDir = mkdtempSync(path.join(tmpdir(), 'dayfill-early-'));
  const ports = [await getPort({ host: '127.0.0.1' }), await getPort({ host: '127.0.0.1' })];
  const surroundings = { config: loadConfig({ DAYFILL_STATE_DIR: stateDir }), environment: {}, addresses: {} };
  const { program, args } = temporal.launch(surroundings, ports);
  const early = `--dynamic-config-value=limit.historyCount.suggestContinueAsNew=${events}`;
  const folder = path.join(stateDir, 'temporal.db');
  const server = execa(program, [...args.with(args.indexOf('--db-filename') + 1, folder), early], {
    stdio: 'ignore',
    reject: false,
  });
  const stop = async () => {
    server.kill('SIGKILL');
    await server;
    rmSync(stateDir, { recursive: true, force: true });
  };
  try {
    await until('the server to answer', () => temporal.isHealthy(surroundings, { pid: server.pid!, ports }));
    await prepareNamespace(`127.0.0.1:${ports[0]}`, 'default');
  } catch (error) {
    await stop();
    throw error;
  }
  return { address: `127.0.0.1:${ports[0]}`, stop };
}
