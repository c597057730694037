import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBackfill } from '../dist/client/start.js';
import { dayAfter, durationOf, round, withStack } from './bench-stack.mjs';

const FROM = '2000-01-01';
const PIPELINES = 20;
const DAYS = 50;
const NOOP = path.join(path.dirname(fileURLToPath(import.meta.url)), 'pipelines/noop/pipeline.yaml');

/**
 * One pipeline of two no-op steps alone, then twenty at once on one worker: whether they share it fairly, and what it takes in all.
 * @returns {Promise<object>} days per second of one and of all together, and how much longer the slowest took than the fastest
 */
export async function overheadPipelines({ log }) {
  const folder = await mkdtemp(path.join(tmpdir(), 'dayfill-bench-pipelines-'));
  try {
    const text = await readFile(NOOP, 'utf8');
    const names = Array.from({ length: PIPELINES }, (_, n) => `noop-${n}`);
    for (const name of names) {
      await mkdir(path.join(folder, name));
      await writeFile(path.join(folder, name, 'pipeline.yaml'), text.replace('pipeline: noop', `pipeline: ${name}`));
    }
    return await withStack(folder, async ({ client }) => {
      const run = async (pipeline, first, days) => {
        const [from, to] = [dayAfter(FROM, first), dayAfter(FROM, first + days - 1)];
        const handle = await startBackfill(client, { pipeline, from, to });
        await handle.result();
        return durationOf(handle);
      };
      await run(names[0], 0, 50);
      const alone = (DAYS / (await run(names[0], 50, DAYS))) * 1000;
      const began = performance.now();
      const durations = await Promise.all(names.map((name) => run(name, 200, DAYS)));
      const together = ((PIPELINES * DAYS) / (performance.now() - began)) * 1000;
      const figures = {
        pipelines: PIPELINES,
        cores: availableParallelism(),
        alone: round(alone),
        together: round(together),
        timesAlone: round(together / alone),
        slowestToFastest: round(Math.max(...durations) / Math.min(...durations)),
      };
      log(`${PIPELINES} pipelines at once on one worker, ${DAYS} days each, ${figures.cores} cores`);
      log(`  one alone             ${figures.alone} days per second`);
      log(`  all together          ${figures.together} days per second, ${figures.timesAlone} times as many`);
      log(`  slowest to fastest    ${figures.slowestToFastest}`);
      return figures;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
