import path from 'node:path';
import { type Config, DEFAULT_PORTS } from '../../config.js';
import { PACKAGE_DIR, pythonOf } from '../places.js';
import { answersOk } from '../reachability.js';
import type { Service } from '../service.js';

/** Where the buckets are, as folders. */
export function storageDirOf({ stateDir }: Config): string {
  return path.join(stateDir, 'storage');
}

/** The Cloud Storage emulator. */
export const storage: Service = {
  name: 'storage',
  endpoints: [{ name: 'storage', usualPort: DEFAULT_PORTS.storage, address: (port) => `http://127.0.0.1:${port}` }],
  after: [],
  startWithinMs: 60_000,
  stopWithinMs: 10_000,
  providedAt: (environment) => environment.DAYFILL_STORAGE_ENDPOINT || null,
  launch({ config }, [port]) {
    const dataDir = storageDirOf(config);
    return {
      program: pythonOf(config),
      args: [
        path.join(PACKAGE_DIR, 'warehouse/emulators/storage.py'),
        ...['--port', String(port), '--data-dir', dataDir],
      ],
      environment: { PYTHONUNBUFFERED: '1' },
      folders: [dataDir],
    };
  },
  isHealthy: (_, { ports: [port] }) => answersOk(`http://127.0.0.1:${port}/`),
};
