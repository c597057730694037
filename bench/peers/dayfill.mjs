import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const BIN = path.join(path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url)))), 'bin/dayfill.js');

/** The embedded stack: Temporal, the emulators and a worker. */
export const dayfill = {
  packages: null,
  environment: ({ dir, venv }) => ({
    DAYFILL_STATE_DIR: path.join(dir, 'state'),
    DAYFILL_PIPELINES: path.join(dir, 'pipelines'),
    DAYFILL_VENV: venv,
    DAYFILL_LOG_LEVEL: 'warn',
    TEMPORAL_CONFIG_FILE: path.join(dir, 'none.toml'),
  }),
  services: ({ run }) => [
    {
      argv: [process.execPath, BIN, 'stack', 'up'],
      isUp: async () =>
        JSON.parse((await run(process.execPath, BIN, 'stack', 'status', '--json')).stdout).services.every(
          ({ state }) => state === 'up',
        ),
    },
  ],
  async before({ dir, step }) {
    await mkdir(path.join(dir, 'pipelines', 'day'), { recursive: true });
    await writeFile(path.join(dir, 'pipelines', 'day', 'pipeline.yaml'), pipeline(step));
  },
  backfill: ({ run }, first, last) =>
    run(process.execPath, BIN, 'run', 'day', '--from', first, '--to', last, '--detach'),
};

const pipeline = (step) => `
pipeline: day
partition: { every: 1d, start: 2025-01-01 }
steps:
  - { id: first, uses: command, with: { run: [${step.join(', ')}, "\${partition}", first] } }
  - { id: second, uses: command, with: { run: [${step.join(', ')}, "\${partition}", second] } }
`;
