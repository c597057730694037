import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Storage } from '@google-cloud/storage';
import { round, withStack } from './bench-stack.mjs';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const BUCKET = 'gcs-automation-project-raw';
const YEAR = { first: '2020-01-01', last: '2020-12-31' };
/** A hundredth of the volume. */
const VARS = ['scale=0.01', 'num_customers=3000', 'num_products=30', `end_date=${YEAR.last}`];
const KILLS = 10;

/**
 * What ten killed workers cost: a year of the backlog at a hundredth of its volume, straight through, then with the worker
 * killed at ten random moments. Fails when the two leave other objects in the bucket.
 * @returns {Promise<{straight: {seconds: number}, killed: {seconds: number, kills: number}, ratio: number, objects: number, seed: number}>}
 */
export async function backlogYear({ log }) {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  return withStack(path.join(ROOT, 'pipelines'), async ({ dayfill, service }) => {
    const year = (prefix) =>
      timed(
        dayfill(
          ...['run', 'backlog', '--from', YEAR.first, '--to', YEAR.last, '--no-until-waiting', '--json'],
          ...[...VARS, `prefix=${prefix}`].flatMap((one) => ['--var', one]),
        ),
      );
    const straight = await year('ecom/straight');
    const moments = momentsOf(seed, straight);
    const began = performance.now();
    const run = year('ecom/killed');
    for (const moment of moments) {
      await setTimeout(Math.max(0, began + moment * 1000 - performance.now()));
      process.kill((await service('worker')).pid, 'SIGKILL');
      await dayfill('stack', 'up');
    }
    const killed = await run;
    const { address } = await service('storage');
    const bucket = new Storage({ projectId: 'bench', apiEndpoint: address }).bucket(BUCKET);
    const [one, other] = [await contents(bucket, 'ecom/straight/'), await contents(bucket, 'ecom/killed/')];
    const differing = [...new Set([...one.keys(), ...other.keys()])].filter(
      (name) => one.get(name) !== other.get(name),
    );
    if (differing.length > 0) throw new Error(`${differing.length} objects differ (SEED=${seed}): ${differing[0]}`);
    const figures = {
      straight: { seconds: round(straight) },
      killed: { seconds: round(killed), kills: moments.length },
      ratio: round(killed / straight),
      objects: one.size,
      seed,
    };
    log(`a year of the backlog at a hundredth of its volume, ${one.size} objects, SEED=${seed}`);
    log(`  straight                  ${figures.straight.seconds} s`);
    log(`  worker killed ${KILLS} times    ${figures.killed.seconds} s, every object the same`);
    log(`  ratio                     ${figures.ratio}`);
    return figures;
  });
}

/** Seconds after the start, spread over a run of so many seconds. */
function momentsOf(seed, seconds) {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: KILLS }, () => random() * seconds).sort((a, b) => a - b);
}

/** The checksum of each object; of a manifest what it says besides when it was made. */
async function contents(bucket, prefix) {
  const [files] = await bucket.getFiles({ prefix });
  const found = new Map();
  for (const file of files) {
    const name = file.name.slice(prefix.length);
    if (!name.endsWith('_MANIFEST.json')) found.set(name, file.metadata.md5Hash);
    else {
      const { created: _, ...said } = JSON.parse(String((await file.download())[0]));
      found.set(name, JSON.stringify(said));
    }
  }
  return found;
}

async function timed(work) {
  const began = performance.now();
  await work;
  return (performance.now() - began) / 1000;
}
