import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BigQuery } from '@google-cloud/bigquery';
import { execa } from 'execa';
import { dayAfter, median, round, withStack } from './bench-stack.mjs';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const PROJECT = 'talbots-og-map-dev';
const DATASETS = ['talbots_landing', 'talbots_crm', 'talbots_identity'];
/** Some of them break, and are fixed by what the pipeline knows. */
const DAYS = Array.from({ length: 10 }, (_, n) => dayAfter('2025-07-16', n));
/** When a row was read or written, which differs between two runs of the same day. */
const CLOCK_COLUMNS = ['synced_at', 'source_ingested_at', '_ingested_at'];

/**
 * A day of Talbots: the commands of a person, cold and one after another (`talbots.sh`), beside dayfill on the same files and the
 * same warehouse. The tables of both are compared.
 * @returns {Promise<object>} seconds per day of both and their ratio, those of the first day apart, and seconds by step
 */
export async function talbots({ log }) {
  return withStack(path.join(ROOT, 'pipelines'), async ({ dayfill, service, stateDir, venv }) => {
    const [bigqueryAddress, storageAddress] = [(await service('bigquery')).address, (await service('storage')).address];
    const env = {
      PATH: `${path.join(venv, 'bin')}${path.delimiter}${process.env.PATH}`,
      DAYFILL_BIGQUERY_ENDPOINT: bigqueryAddress,
      DAYFILL_STORAGE_ENDPOINT: storageAddress,
      STORAGE_EMULATOR_HOST: storageAddress,
      DAGSTER_HOME: path.join(stateDir, 'dagster-by-hand'),
    };
    await mkdir(env.DAGSTER_HOME);
    await execa(path.join(venv, 'bin/python'), ['-m', 'sample_files', '--from', DAYS[0], '--to', DAYS.at(-1)], {
      cwd: path.join(ROOT, 'warehouse'),
      env,
    });
    const bigquery = new BigQuery({ projectId: PROJECT, apiEndpoint: bigqueryAddress, token: 'x' });

    const { stdout } = await execa(path.join(ROOT, 'bench/talbots.sh'), [stateDir, ...DAYS], { env });
    const byHand = stdout.split('\n').flatMap((line) => {
      const [, day, step, seconds] = /^(\S+) (crm|build|identity|fix) ([\d.]+)$/.exec(line) ?? [];
      return day === undefined ? [] : [{ day, step, seconds: Number(seconds) }];
    });
    const tables = await contentsOf(bigquery);
    await Promise.all(DATASETS.map((name) => bigquery.dataset(name).delete({ force: true })));

    const began = performance.now();
    await dayfill('run', 'talbots', '--from', DAYS[0], '--to', DAYS.at(-1), '--json');
    const wall = (performance.now() - began) / 1000;
    const { rows } = JSON.parse((await dayfill('ledger', 'talbots', '--json')).stdout);
    const ours = rows.flatMap(({ partition: day, steps }) =>
      steps.map(({ id: step, durationMs }) => ({ day, step, seconds: durationMs / 1000 })),
    );
    const byHandDays = DAYS.map((day) => total(byHand.filter((one) => one.day === day)));
    const dayOf = ({ startedAt, recordedAt }) => (Date.parse(recordedAt) - Date.parse(startedAt)) / 1000;

    const figures = {
      days: DAYS.length,
      fixed: rows.filter(({ status }) => status === 'fixed').length,
      sameTables: JSON.stringify(await contentsOf(bigquery)) === JSON.stringify(tables),
      byHand: { secondsPerDay: round(mean(byHandDays)), ...firstAndOthers(byHandDays), steps: medians(byHand) },
      dayfill: {
        secondsPerDay: round(wall / DAYS.length),
        ...firstAndOthers(rows.map(dayOf)),
        steps: medians(ours.filter(({ day }) => day !== DAYS[0])),
      },
    };
    figures.ratio = round(figures.byHand.secondsPerDay / figures.dayfill.secondsPerDay);
    figures.ratioOfLaterDays = round(figures.byHand.laterDays / figures.dayfill.laterDays);
    log(`${DAYS.length} days of Talbots, ${figures.fixed} of which are fixed, on this machine; seconds`);
    log(`  by hand  ${shown(figures.byHand)}`);
    log(`  dayfill  ${shown(figures.dayfill)}`);
    log(`  ratio    ${figures.ratio}, ${figures.ratioOfLaterDays} after the first day`);
    log(`  tables   ${figures.sameTables ? 'the same' : 'DIFFERENT'}`);
    if (!figures.sameTables) process.exitCode = 1;
    return figures;
  });
}

/** A hash of each table of Talbots, in an order of its own and without the clock's columns. */
async function contentsOf(bigquery) {
  const query = async (sql) => (await bigquery.query({ query: sql, location: 'US' }))[0];
  const contents = {};
  for (const dataset of DATASETS) {
    const tables = await query(`select table_name as name from ${dataset}.INFORMATION_SCHEMA.TABLES order by name`);
    for (const { name } of tables) {
      const rows = await query(`select to_json_string(t) as line from ${dataset}.${name} as t`);
      const lines = rows.map(({ line }) => {
        const row = JSON.parse(line);
        for (const column of CLOCK_COLUMNS) delete row[column];
        return JSON.stringify(row);
      });
      contents[`${dataset}.${name}`] = createHash('sha256').update(lines.sort().join('\n')).digest('hex');
    }
  }
  return contents;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const firstAndOthers = ([first, ...others]) => ({ firstDay: round(first), laterDays: round(mean(others)) });
const total = (times) => times.reduce((sum, { seconds }) => sum + seconds, 0);

/** The median of each step, in the order in which they first came. */
function medians(times) {
  const steps = [...new Set(times.map(({ step }) => step))];
  const secondsOf = (name) => times.filter(({ step }) => step === name).map(({ seconds }) => seconds);
  return Object.fromEntries(steps.map((name) => [name, round(median(secondsOf(name)))]));
}

function shown({ secondsPerDay, firstDay, laterDays, steps }) {
  const bySteps = Object.entries(steps).map(([step, seconds]) => `${step} ${seconds}`);
  return `${secondsPerDay} per day, ${firstDay} the first, ${laterDays} the others; ${bySteps.join(', ')}`;
}
