import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import getPort from 'get-port';
import { airflow } from './peers/airflow.mjs';
import { dagster } from './peers/dagster.mjs';
import { dayfill } from './peers/dayfill.mjs';
import { prefect } from './peers/prefect.mjs';
import { killAll, memoryOf, processesOf } from './peers/processes.mjs';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const VENV = process.env.DAYFILL_VENV ?? path.join(ROOT, '.dayfill', 'venv');
export const PEERS = { airflow, dagster, prefect };
const DAYS = 10;
const WARM_UP = ['2025-01-01', '2025-01-01'];
const MEASURED = ['2025-02-01', '2025-02-10'];
/** Of steps that take three seconds each. */
const KILLED = ['2025-03-01', '2025-03-04'];
const KILLED_STEPS = 8;
/** How long is waited for a service, for the undisturbed days, and for one that goes on by itself. */
const START_PATIENCE_MS = 180_000;
const DAYS_PATIENCE_MS = 900_000;
const PATIENCE_MS = 360_000;

/**
 * dayfill beside Airflow, Dagster and Prefect: two steps that do nothing, one day after another, by the backfill of each; then all of
 * its processes are killed (SIGKILL) in the middle of a step and its services are started again, and nothing else is done.
 * Each peer has an environment of its own, made on first use.
 * @param {{log: (line: string) => void, only?: string}} options `only` is one peer's name. @default all of them
 * @returns {Promise<object[]>} for each: secondsPerDay, firstStep (seconds from the command to the first step), peakMb, and after the
 * kill goesOnAfter and done (seconds from the restart to the next step and to the end, null where neither came), repeated (steps)
 */
export async function peers({ log, only }) {
  const chosen = Object.entries(PEERS).filter(([name]) => only === undefined || name === only);
  const figures = [];
  for (const [name, peer] of [['dayfill', dayfill], ...chosen]) {
    const found = { name, versions: peer.packages, ...(await measure(await installed(name, peer), peer)) };
    figures.push(found);
    log(`${name}${peer.packages ? ` (${peer.packages.join(', ')})` : ''}`);
    log(
      `  ${found.secondsPerDay} s per day, the first step after ${found.firstStep} s; at most ${found.peakMb} MB of memory`,
    );
    log(`  killed: ${afterKill(found)}`);
  }
  return figures;
}

function afterKill({ goesOnAfter, done, repeated }) {
  if (goesOnAfter === null) return `does not go on by itself within ${PATIENCE_MS / 1000} s`;
  const end = done === null ? `not done within ${PATIENCE_MS / 1000} s` : `done after ${done} s`;
  return `goes on by itself ${goesOnAfter} s after the restart, ${end}; repeats ${repeated} of ${KILLED_STEPS} steps`;
}

/** The folder of a peer's programs. */
async function installed(name, { packages }) {
  if (packages === null) return VENV;
  const folder = path.join(ROOT, '.dayfill', 'peers', name);
  const stamp = path.join(folder, 'packages');
  const wanted = packages.join('\n');
  if (existsSync(stamp) && (await readFile(stamp, 'utf8')) === wanted) return folder;
  await execa(path.join(VENV, 'bin/python'), ['-m', 'venv', '--clear', folder]);
  await execa(path.join(folder, 'bin/python'), ['-m', 'pip', 'install', '--quiet', ...packages]);
  await writeFile(stamp, wanted);
  return folder;
}

async function measure(folder, peer) {
  const dir = await mkdtemp(path.join(tmpdir(), 'dayfill-peers-'));
  const place = { dir, venv: VENV, port: await getPort(), ports: [await getPort()] };
  const environment = {
    ...process.env,
    ...peer.environment(place),
    PATH: `${path.join(folder, 'bin')}${path.delimiter}${process.env.PATH}`,
    TMPDIR: path.join(dir, 'tmp'),
  };
  const peerPlace = {
    ...place,
    step: [path.join(ROOT, 'bench/peers/step.sh'), dir],
    run: (program, ...args) => execa(program, args, { cwd: dir, env: environment }),
  };
  const began = new Began(path.join(dir, 'began'));
  const start = async () => {
    for (const { argv, isUp } of peer.services(peerPlace)) {
      await spawnService(argv, dir, environment);
      await until(() => isUp().catch(() => false), START_PATIENCE_MS, `"${argv.join(' ')}" is up`);
    }
  };
  let peak = 0;
  const look = setInterval(() => {
    peak = Math.max(peak, memoryOf(processesOf(dir)));
  }, 1000);
  try {
    await mkdir(path.join(dir, 'tmp'));
    await peer.before?.(peerPlace);
    await start();
    await peer.prepare?.(peerPlace);
    await peer.backfill(peerPlace, ...WARM_UP);
    await began.steps(2);

    const asked = performance.now();
    await peer.backfill(peerPlace, ...MEASURED);
    const first = await began.steps(3);
    const last = await began.steps(1 + 2 * DAYS);
    await began.steps(2 + 2 * DAYS);
    const peakMb = Math.round(peak / 1e6);

    return {
      secondsPerDay: round((last - first) / 1000 / (DAYS - 1)),
      firstStep: round((first - asked) / 1000),
      peakMb,
      ...(await killed(peer, peerPlace, began, start)),
    };
  } finally {
    clearInterval(look);
    killAll(dir);
    await rm(dir, { recursive: true, force: true });
  }
}

/** Kills everything a second into the second step of the second day, starts the services again, and looks on. */
async function killed(peer, place, began, start) {
  const { dir } = place;
  await writeFile(path.join(dir, 'slow'), '');
  const before = (await began.lines()).length;
  await peer.backfill(place, ...KILLED);
  await began.steps(before + 4);
  await setTimeout(1000);
  killAll(dir);
  const restarted = performance.now();
  const starting = start();
  const lines = async () => (await began.lines()).slice(before);
  const secondsUntil = (condition) =>
    until(condition, PATIENCE_MS - (performance.now() - restarted)).then(
      (at) => round((at - restarted) / 1000),
      () => null,
    );
  const goesOnAfter = await secondsUntil(async () => (await lines()).length > 4);
  const done = goesOnAfter && (await secondsUntil(async () => new Set(await lines()).size === KILLED_STEPS));
  await starting;
  const all = await lines();
  return { goesOnAfter, done, repeated: all.length - new Set(all).size };
}

/** What steps said when they began. */
class Began {
  constructor(file) {
    this.file = file;
  }

  async lines() {
    const text = await readFile(this.file, 'utf8').catch(() => '');
    return text.split('\n').slice(0, -1);
  }

  /** When so many had begun. */
  steps(count) {
    return until(async () => (await this.lines()).length >= count, DAYS_PATIENCE_MS, `${count} steps have begun`);
  }
}

async function spawnService([program, ...args], dir, env) {
  const log = await open(path.join(dir, `${path.basename(program)}.log`), 'a');
  spawn(program, args, { cwd: dir, env, detached: true, stdio: ['ignore', log.fd, log.fd] }).unref();
  await log.close();
}

/** The moment at which the condition held. */
async function until(condition, withinMs, what) {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Waited ${withinMs / 1000} s in vain until ${what}.`);
    await setTimeout(20);
  }
  return performance.now();
}

function round(value) {
  return Math.round(value * 100) / 100;
}
