import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../config.js';
import { StackError } from '../errors.js';
import { PACKAGE_DIR } from '../places.js';
import type { Service, Surroundings } from '../service.js';

const ENTRY = path.join(PACKAGE_DIR, 'dist/worker.js');

/** The worker finds the other services in stack.json; what it is told here does not depend on its folder. */
function settingsOf({ stateDir, pipelinesDir, venv }: Config): Record<string, string> {
  return { DAYFILL_STATE_DIR: stateDir, DAYFILL_PIPELINES: pipelinesDir, DAYFILL_VENV: venv };
}

/** dayfill's worker. It writes its ready file once it polls. */
export const worker: Service = {
  name: 'worker',
  endpoints: [{ name: 'worker', usualPort: null, address: () => '' }],
  after: ['temporal', 'bigquery', 'storage'],
  startWithinMs: 60_000,
  // It gives the steps under way ten seconds.
  stopWithinMs: 20_000,
  providedAt: () => null,
  launch({ config }) {
    if (!existsSync(ENTRY)) throw new StackError('dayfill is not built: run "npm run setup".');
    return { program: process.execPath, args: [ENTRY], environment: settingsOf(config) };
  },
  async isHealthy({ config }, { pid }) {
    try {
      return JSON.parse(readFileSync(path.join(config.stateDir, 'worker.json'), 'utf8')).pid === pid;
    } catch {
      return false; // not there yet, or half-written
    }
  },
  /** A new build, other settings or a service that moved to another port need a new worker. */
  version(surroundings: Surroundings) {
    const { config, environment, addresses } = surroundings;
    const read = Object.entries(environment).filter(([name]) => /^(DAYFILL|TEMPORAL)_/.test(name));
    const { temporal, bigquery, storage } = addresses;
    const seen = [
      statSync(ENTRY, { throwIfNoEntry: false })?.mtimeMs,
      Object.entries({ ...Object.fromEntries(read), ...settingsOf(config) }).sort(),
      [temporal, bigquery, storage],
    ];
    return createHash('sha256').update(JSON.stringify(seen)).digest('hex').slice(0, 16);
  },
};
