import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { startBackfill } from '../dist/client/start.js';
import { dayAfter, durationOf, median, round, withStack } from './bench-stack.mjs';

const DAYS = 200;
const ROUNDS = 5;
const FROM = '2000-01-01';
const HERE = path.dirname(fileURLToPath(import.meta.url));

/**
 * What dayfill adds to a day: two no-op `command` steps over 200 days, plan and ledger rows included, beside the same two programs
 * as two activities of a bare Temporal workflow, a child of another for each day, on the same server; in turns. Then the same
 * through the command line, and by a shell loop.
 * @returns {Promise<{dayfill: number, bare: number, ratio: number, commandLine: number, shell: number, days: number}>} milliseconds per
 * day, medians; the ratio is the median of the rounds' ratios
 */
export async function overheadDay({ log }) {
  return withStack(path.join(HERE, 'pipelines'), async ({ dayfill, service, client }) => {
    const { address } = await service('temporal');
    const worker = execa(process.execPath, [path.join(HERE, 'bare-temporal/worker.mjs'), address, 'bare']);
    try {
      let at = 0;
      const ours = async (days) => {
        const [from, to] = [dayAfter(FROM, at), dayAfter(FROM, at + days - 1)];
        at += days;
        const handle = await startBackfill(client, { pipeline: 'noop', from, to });
        await handle.result();
        return (await durationOf(handle)) / days;
      };
      const bare = async (days, workflowId) => {
        const handle = await client.temporal.workflow.start('days', {
          workflowId,
          taskQueue: 'bare',
          args: [days, workflowId],
        });
        await handle.result();
        return (await durationOf(handle)) / days;
      };
      await bare(20, 'bare-warm-up');
      await ours(20);
      const rounds = [];
      for (let n = 0; n < ROUNDS; n += 1) rounds.push({ bare: await bare(DAYS, `bare-${n}`), ours: await ours(DAYS) });
      const commandLine = await msPerDay(() =>
        dayfill('run', 'noop', '--from', dayAfter(FROM, at), '--to', dayAfter(FROM, at + DAYS - 1), '--json'),
      );
      const shell = await msPerDay(() => execa('sh', [path.join(HERE, 'overhead.sh'), String(DAYS)]));
      const figures = {
        dayfill: round(median(rounds.map((each) => each.ours))),
        bare: round(median(rounds.map((each) => each.bare))),
        ratio: round(median(rounds.map((each) => each.ours / each.bare))),
        commandLine: round(commandLine),
        shell: round(shell),
        days: DAYS,
      };
      log(`two no-op steps, ${DAYS} days, ${ROUNDS} rounds; milliseconds per day`);
      log(`  dayfill             ${figures.dayfill}, with its command line ${figures.commandLine}`);
      log(`  bare Temporal       ${figures.bare}`);
      log(`  ratio               ${figures.ratio}`);
      log(`  shell loop          ${figures.shell}`);
      return figures;
    } finally {
      worker.kill();
      await worker.catch(() => {});
    }
  });
}

async function msPerDay(work) {
  const began = performance.now();
  await work();
  return (performance.now() - began) / DAYS;
}
