import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { median, round, withStack } from './bench-stack.mjs';

const ROUNDS = 11;
/** A step that is long under way, and leaves a line each time it begins. */
const PIPELINE = `
pipeline: long
partition: { every: 1d, start: 2025-07-01 }
steps:
  - { id: long, uses: command, with: { run: [sh, -c, "echo >> begun; exec sleep 3600"] } }
`;

/**
 * How long a step stands still when its worker dies: the worker is killed (SIGKILL) at some moment within a long `command` step and
 * `dayfill stack up` is called at once, as a person would; until the step's program runs again.
 * @returns {Promise<{rounds: number, median: number, min: number, max: number, parts: {workerPolls: number, stepRuns: number}}>}
 * seconds; the parts are medians, one after the other
 */
export async function recovery({ log }) {
  const folder = await mkdtemp(path.join(tmpdir(), 'dayfill-bench-pipelines-'));
  const pipeline = path.join(folder, 'long');
  try {
    await mkdir(pipeline);
    await writeFile(path.join(pipeline, 'pipeline.yaml'), PIPELINE);
    return await withStack(folder, (stack) => killed(stack, pipeline, log));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function killed({ dayfill, stateDir }, pipeline, log) {
  const begun = () => textOf(path.join(pipeline, 'begun')).then(({ length }) => length);
  const worker = () => textOf(path.join(stateDir, 'worker.json')).then((text) => (text ? JSON.parse(text).pid : null));
  await dayfill('run', 'long', '--partitions', '2025-07-01', '--detach');
  const rounds = [];
  for (let round = 1; round <= ROUNDS; round++) {
    await until(async () => (await begun()) === round);
    await setTimeout(1000 + Math.random() * 2000);
    const before = await worker();
    const at = performance.now();
    process.kill(before, 'SIGKILL');
    const up = dayfill('stack', 'up');
    await until(async () => ![before, null].includes(await worker()));
    const workerPolls = performance.now() - at;
    await until(async () => (await begun()) === round + 1);
    rounds.push({ workerPolls, total: performance.now() - at });
    await up;
  }
  const seconds = (of) => rounds.map((round) => of(round) / 1000).sort((a, b) => a - b);
  const totals = seconds(({ total }) => total);
  const figures = {
    rounds: ROUNDS,
    median: round(median(totals)),
    min: round(totals[0]),
    max: round(totals.at(-1)),
    parts: {
      workerPolls: round(median(seconds(({ workerPolls }) => workerPolls))),
      stepRuns: round(median(seconds(({ workerPolls, total }) => total - workerPolls))),
    },
  };
  log(`from the kill of the worker, and "dayfill stack up" at once, until its step runs again; ${ROUNDS} rounds`);
  log(`  median ${figures.median} s, min ${figures.min} s, max ${figures.max} s`);
  log(`  until the next worker polls  ${figures.parts.workerPolls} s`);
  log(`  from then until it runs      ${figures.parts.stepRuns} s`);
  return figures;
}

/** Empty when there is none. */
function textOf(file) {
  return readFile(file, 'utf8').catch(() => '');
}

async function until(condition) {
  while (!(await condition())) await setTimeout(5);
}
