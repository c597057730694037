import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBackfill } from '../dist/client/start.js';
import { dayAfter, durationOf, round, withStack } from './bench-stack.mjs';

const FROM = '2000-01-01';
const PIPELINES = 20;
const DAYS = 50;
const DAYS_ALONE = 200;
const NOOP = path.join(path.dirname(fileURLToPath(import.meta.url)), 'pipelines/noop/pipeline.yaml');

/**
 * One pipeline of two no-op steps alone, then twenty at once on one worker: whether they share it fairly, and what it takes in all.
 * @returns {Promise<object>} days per second of one and of all together, how much longer the slowest took than the fastest, and for both
 * the processor time of a day, in milliseconds, which is right when nothing else runs on the machine
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
      const [aloneFrom, aloneBusy] = [performance.now(), busyMs()];
      await run(names[0], 50, DAYS_ALONE);
      const alone = (DAYS_ALONE / (performance.now() - aloneFrom)) * 1000;
      const aloneMs = (busyMs() - aloneBusy) / DAYS_ALONE;
      const [from, busy] = [performance.now(), busyMs()];
      const durations = await Promise.all(names.map((name) => run(name, 300, DAYS)));
      const together = ((PIPELINES * DAYS) / (performance.now() - from)) * 1000;
      const togetherMs = (busyMs() - busy) / (PIPELINES * DAYS);
      const figures = {
        pipelines: PIPELINES,
        cores: availableParallelism(),
        alone: round(alone),
        together: round(together),
        timesAlone: round(together / alone),
        processorMs: { alone: round(aloneMs), together: round(togetherMs) },
        coresBusy: { alone: round((alone * aloneMs) / 1000), together: round((together * togetherMs) / 1000) },
        slowestToFastest: round(Math.max(...durations) / Math.min(...durations)),
      };
      log(`${PIPELINES} pipelines at once on one worker, ${DAYS} days each, ${figures.cores} cores`);
      const shown = (which) =>
        `${figures[which]} days per second, ${figures.processorMs[which]} ms of processor time a day, ${figures.coresBusy[which]} cores busy`;
      log(`  one alone             ${shown('alone')}`);
      log(`  all together          ${shown('together')}; ${figures.timesAlone} times as many`);
      log(`  slowest to fastest    ${figures.slowestToFastest}`);
      return figures;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Milliseconds that the machine's cores have worked since it started. */
function busyMs() {
  return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0);
}
