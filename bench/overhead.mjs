import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const DAYS = 100;
const FROM = '2025-01-01';
const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const HERE = path.join(ROOT, 'bench');

/**
 * What dayfill adds to a day: two no-op `command` steps over 100 days on a stack of its own, ledger row and command line
 * included, beside a shell loop that runs the same two programs as often.
 * @returns {Promise<{dayfill: {msPerDay: number}, shell: {msPerDay: number}, ratio: number, days: number}>}
 */
export async function overhead({ log }) {
  const stateDir = await mkdtemp(path.join(tmpdir(), 'dayfill-bench-'));
  const env = {
    DAYFILL_STATE_DIR: stateDir,
    DAYFILL_VENV: process.env.DAYFILL_VENV ?? path.join(ROOT, '.dayfill', 'venv'),
    DAYFILL_PIPELINES: path.join(HERE, 'pipelines'),
    DAYFILL_LOG_LEVEL: 'warn',
    TEMPORAL_CONFIG_FILE: path.join(stateDir, 'none.toml'),
  };
  const dayfill = (...args) =>
    execa(process.execPath, [path.join(ROOT, 'bin/dayfill.js'), ...args], { env, cwd: ROOT });
  try {
    await dayfill('stack', 'up');
    await dayfill('run', 'noop', '--from', '2024-12-31', '--to', '2024-12-31');
    const last = new Date(Date.parse(FROM) + (DAYS - 1) * 86_400_000).toISOString().slice(0, 10);
    const ours = await msPerDay(() => dayfill('run', 'noop', '--from', FROM, '--to', last, '--json'));
    const shell = await msPerDay(() => execa('sh', [path.join(HERE, 'overhead.sh'), String(DAYS)]));
    const figures = {
      dayfill: { msPerDay: round(ours) },
      shell: { msPerDay: round(shell) },
      ratio: round(ours / shell),
      days: DAYS,
    };
    log(`two no-op steps, ${DAYS} days, on this machine`);
    log(`  dayfill     ${figures.dayfill.msPerDay} ms per day`);
    log(`  shell loop  ${figures.shell.msPerDay} ms per day`);
    log(`  ratio       ${figures.ratio}`);
    return figures;
  } finally {
    await dayfill('stack', 'down');
    await rm(stateDir, { recursive: true, force: true });
  }
}

async function msPerDay(work) {
  const began = performance.now();
  await work();
  return (performance.now() - began) / DAYS;
}

function round(value) {
  return Math.round(value * 100) / 100;
}
