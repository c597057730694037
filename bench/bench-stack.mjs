import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { openDayfill } from '../dist/client/open.js';
import { loadConfig } from '../dist/config.js';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/**
 * A stack of its own for a benchmark, gone afterwards.
 * @param {string} pipelines absolute: the folder of pipelines
 * @param {(stack: {dayfill: Function, service: Function, client: object, stateDir: string, venv: string}) => Promise<T>} work gets the
 * command line, what `stack status` says of a service by its name, a client, and the folders of the state and of Python
 * @template T
 * @returns {Promise<T>}
 */
export async function withStack(pipelines, work) {
  const stateDir = await mkdtemp(path.join(tmpdir(), 'dayfill-bench-'));
  const venv = process.env.DAYFILL_VENV ?? path.join(ROOT, '.dayfill', 'venv');
  const env = {
    DAYFILL_STATE_DIR: stateDir,
    DAYFILL_VENV: venv,
    DAYFILL_PIPELINES: pipelines,
    DAYFILL_LOG_LEVEL: 'warn',
    TEMPORAL_CONFIG_FILE: path.join(stateDir, 'none.toml'),
  };
  const dayfill = (...args) =>
    execa(process.execPath, [path.join(ROOT, 'bin/dayfill.js'), ...args], { env, cwd: ROOT });
  const service = async (name) =>
    JSON.parse((await dayfill('stack', 'status', '--json')).stdout).services.find((one) => one.name === name);
  let client;
  try {
    await dayfill('stack', 'up');
    client = await openDayfill(loadConfig({ ...process.env, ...env }));
    return await work({ dayfill, service, client, stateDir, venv });
  } finally {
    await client?.close();
    await dayfill('stack', 'down');
    await rm(stateDir, { recursive: true, force: true });
  }
}

/** The ISO date so many days after another. */
export function dayAfter(first, days) {
  return new Date(Date.parse(first) + days * 86_400_000).toISOString().slice(0, 10);
}

/** Milliseconds from a closed workflow's start to its end, as the server has them. */
export async function durationOf(handle) {
  const { startTime, closeTime } = await handle.describe();
  return closeTime - startTime;
}

export function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)];
}

export function round(value) {
  return Math.round(value * 100) / 100;
}
