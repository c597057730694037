import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { startBackfill } from '../dist/client/start.js';
import { dayAfter, durationOf, round, withStack } from './bench-stack.mjs';

const FROM = '2000-01-01';
const PIPELINES = 20;
const DAYS = 50;
const DAYS_ALONE = 200;
const NOOP = path.join(path.dirname(fileURLToPath(import.meta.url)), 'pipelines/noop/pipeline.yaml');

/**
 * One pipeline of two no-op steps alone, on all cores and with everything kept on one of them, then twenty at once on one worker: whether they
 * share it fairly, and whether so many cores do so many times what one does.
 * @returns {Promise<object>} days per second of one and of all together, how much longer the slowest took than the fastest, and for each
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
    return await withStack(folder, async ({ client, service }) => {
      const services = await Promise.all(['temporal', 'bigquery', 'storage', 'worker'].map(service));
      const pids = services.map(({ pid }) => pid);
      const run = async (pipeline, first, days) => {
        const [from, to] = [dayAfter(FROM, first), dayAfter(FROM, first + days - 1)];
        const handle = await startBackfill(client, { pipeline, from, to });
        await handle.result();
        return durationOf(handle);
      };
      await run(names[0], 0, 50);
      const alone = await measured(DAYS_ALONE, () => run(names[0], 50, DAYS_ALONE));
      await keepOn([0], pids);
      const oneCore = await measured(DAYS_ALONE, () => run(names[0], 300, DAYS_ALONE));
      await keepOn(Object.keys(cpus()), pids);
      let durations;
      const together = await measured(PIPELINES * DAYS, async () => {
        durations = await Promise.all(names.map((name) => run(name, 600, DAYS)));
      });
      const figures = {
        pipelines: PIPELINES,
        cores: availableParallelism(),
        ...{ alone, oneCore, together },
        timesAlone: round(together.daysPerSecond / alone.daysPerSecond),
        timesOneCore: round(together.daysPerSecond / oneCore.daysPerSecond),
        slowestToFastest: round(Math.max(...durations) / Math.min(...durations)),
      };
      log(`${PIPELINES} pipelines at once on one worker, ${DAYS} days each, ${figures.cores} cores`);
      const shown = ({ daysPerSecond, processorMs, coresBusy }) =>
        `${daysPerSecond} days per second, ${processorMs} ms of processor time a day, ${coresBusy} cores busy`;
      log(`  one alone             ${shown(alone)}`);
      log(`  one alone on one core ${shown(oneCore)}`);
      log(`  all together          ${shown(together)}`);
      log(`  times one alone       ${figures.timesAlone}, on one core ${figures.timesOneCore}`);
      log(`  slowest to fastest    ${figures.slowestToFastest}`);
      return figures;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** How fast so many days go, and what they take of the processor. */
async function measured(days, work) {
  const [from, busy] = [performance.now(), busyMs()];
  await work();
  const [seconds, ms] = [(performance.now() - from) / 1000, busyMs() - busy];
  return {
    daysPerSecond: round(days / seconds),
    processorMs: round(ms / days),
    coresBusy: round(ms / 1000 / seconds),
  };
}

/** Keeps these processes, their children and this one on some cores: by taskset, which Linux has. */
async function keepOn(cores, pids) {
  const { stdout: children } = await execa('pgrep', ['--parent', pids.join(',')]);
  for (const pid of [process.pid, ...pids, ...children.split('\n')]) {
    await execa('taskset', ['--all-tasks', '--cpu-list', '--pid', cores.join(','), String(pid)]);
  }
}

/** Milliseconds that the machine's cores have worked since it started. */
function busyMs() {
  return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0);
}
