import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startBackfill } from '../dist/client/start.js';
import { dayAfter, round, withStack } from './bench-stack.mjs';

const FROM = '2000-01-01';
const DAYS = 10_000;
const HUNDRED = 100;
/** About six years. */
const LONG = 2200;
const PIPELINES = path.join(path.dirname(fileURLToPath(import.meta.url)), 'pipelines');

/**
 * 10,000 days of two no-op steps in one backfill: whether the last days cost what the first did, what memory the worker takes, and how
 * long histories get.
 * @returns {Promise<object>} seconds of a hundred days at three places and their ratios to the first, the worker's greatest resident
 * memory in MB, and the longest history of a run in events
 */
export async function overheadRange({ log }) {
  return withStack(PIPELINES, async ({ client, stateDir }) => {
    const { pid } = JSON.parse(await readFile(path.join(stateDir, 'worker.json'), 'utf8'));
    const warmUp = await startBackfill(client, { pipeline: 'noop', from: dayAfter(FROM, -50), to: dayAfter(FROM, -1) });
    await warmUp.result();
    const handle = await startBackfill(client, { pipeline: 'noop', from: FROM, to: dayAfter(FROM, DAYS - 1) });
    let ended = false;
    const result = handle.result().finally(() => {
      ended = true;
    });
    let memory = 0;
    while (!ended) {
      memory = Math.max(memory, await residentMb(pid));
      await Promise.race([result, setTimeout(1000)]);
    }
    const { counts } = await result;
    const times = (await client.ledger.rows('noop', FROM)).map(({ recordedAt }) => Date.parse(recordedAt));
    times.sort((a, b) => a - b);
    const hundred = (last) => (times[last - 1] - times[last - HUNDRED]) / 1000;
    const histories = [];
    for await (const { historyLength } of client.temporal.workflow.list({ query: 'WorkflowId = "backfill/noop"' }))
      histories.push(historyLength);
    const figures = {
      days: counts.succeeded,
      msPerDay: round((times.at(-1) - times[0]) / (DAYS - 1)),
      first: round(hundred(HUNDRED)),
      ratioAt2200: round(hundred(LONG) / hundred(HUNDRED)),
      ratioAtEnd: round(hundred(DAYS) / hundred(HUNDRED)),
      memoryMb: round(memory),
      runs: histories.length - 1,
      longestHistory: Math.max(...histories),
    };
    log(`${figures.days} days in one backfill, ${figures.msPerDay} ms per day`);
    log(`  first hundred days            ${figures.first} s`);
    log(`  hundred days up to ${LONG}       ${figures.ratioAt2200} of the first`);
    log(`  last hundred of ${DAYS}        ${figures.ratioAtEnd} of the first`);
    log(`  worker's memory, at most      ${figures.memoryMb} MB`);
    log(`  longest of ${figures.runs} histories       ${figures.longestHistory} events`);
    return figures;
  });
}

async function residentMb(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024;
}
