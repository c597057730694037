import path from 'node:path';
import { DEFAULT_PORTS } from '../../config.js';
import { PACKAGE_DIR, pythonOf } from '../places.js';
import { answersOk } from '../reachability.js';
import type { Service } from '../service.js';
import { storageDirOf } from './storage.js';

/** The BigQuery emulator; it reads `gs://` from the storage emulator's folder. */
export const bigquery: Service = {
  name: 'bigquery',
  endpoints: [{ name: 'bigquery', usualPort: DEFAULT_PORTS.bigquery, address: (port) => `http://127.0.0.1:${port}` }],
  after: [],
  startWithinMs: 90_000,
  stopWithinMs: 10_000,
  providedAt: (environment) => environment.DAYFILL_BIGQUERY_ENDPOINT || null,
  launch({ config }, [port]) {
    const dataDir = path.join(config.stateDir, 'bigquery');
    const storageRoot = storageDirOf(config);
    return {
      program: pythonOf(config),
      args: [
        path.join(PACKAGE_DIR, 'warehouse/emulators/bigquery.py'),
        ...['--port', String(port), '--data-dir', dataDir, '--storage-root', storageRoot],
      ],
      environment: { PYTHONUNBUFFERED: '1' },
      folders: [dataDir, storageRoot],
    };
  },
  isHealthy: (_, { ports: [port] }) => answersOk(`http://127.0.0.1:${port}/readyz`),
};
