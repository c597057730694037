import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MockActivityEnvironment } from '@temporalio/testing';
import getPort from 'get-port';
import { storageUpload } from '../dist/activities/storage-upload.js';
import { loadConfig } from '../dist/config.js';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const BUCKET = 'bench';

/**
 * A Cloud Storage emulator with its objects in the directory, and the step `storage/upload` into it, as a worker runs it.
 * @returns {Promise<{upload: (folder: string) => Promise<{seconds: number, cpuSeconds: number, peakBytes: number, counts: object}>, stop: () => Promise<void>}>}
 */
export async function startUploads(directory) {
  const config = loadConfig({ ...process.env, DAYFILL_STATE_DIR: path.join(directory, 'state') }, ROOT);
  const python = path.join(process.env.DAYFILL_VENV ?? path.join(ROOT, '.dayfill', 'venv'), 'bin/python');
  const address = `http://127.0.0.1:${await getPort()}`;
  const objects = path.join(directory, 'storage');
  await mkdir(objects, { recursive: true });
  const script = path.join(ROOT, 'warehouse/emulators/storage.py');
  const emulator = spawn(python, [script, '--port', new URL(address).port, '--data-dir', objects], { stdio: 'ignore' });
  const answers = () =>
    fetch(address).then(
      ({ ok }) => ok,
      () => false, // not listening yet
    );
  while (!(await answers())) {
    if (emulator.exitCode !== null) throw new Error('The Cloud Storage emulator ended at once.');
    await setTimeout(50);
  }
  const deps = { config: { ...config, storageEndpoint: address }, logger: console };
  let uploads = 0;
  return {
    async upload(folder) {
      const key = `chunk-${++uploads}`;
      const request = {
        key: `bench/${key}/upload`,
        pipeline: 'bench',
        partition: { key, start: '2020-01-01', end: '2020-01-01' },
        step: 'upload',
        project: null,
        with: { from: folder, to: `gs://${BUCKET}/raw` },
        timeoutMs: 3_600_000,
        retry: { attempts: 1, initialMs: 1000 },
      };
      let peakBytes = 0;
      const look = setInterval(() => {
        peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
      }, 50);
      const began = performance.now();
      const cpu = process.cpuUsage();
      try {
        const { counts } = await new MockActivityEnvironment().run(storageUpload(deps), request);
        const { user, system } = process.cpuUsage(cpu);
        const seconds = (performance.now() - began) / 1000;
        return { seconds, cpuSeconds: (user + system) / 1e6, peakBytes, counts };
      } finally {
        clearInterval(look);
      }
    },
    async stop() {
      emulator.kill();
      if (emulator.exitCode === null) await once(emulator, 'exit');
    },
  };
}
