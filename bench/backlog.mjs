import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { startUploads } from './uploads.mjs';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const PYTHON = path.join(process.env.DAYFILL_VENV ?? path.join(ROOT, '.dayfill', 'venv'), 'bin/python');
const CHUNKS = [
  ['2020-01-01', '2020-01-10'],
  ['2020-01-11', '2020-01-20'],
  ['2020-01-21', '2020-01-30'],
  ['2020-01-31', '2020-02-09'],
];
const DAYS_PER_CHUNK = 10;
const ALL_DAYS = 2200;
/** What the six years are said to take without dayfill. */
const ESTIMATE_HOURS = '5 to 8';

/**
 * What six years of an online shop's raw data cost: four chunks of ten days at full volume, each stage by itself, beside DuckDB
 * copying the same CSV files to Parquet untyped, unsorted and whole. The first chunk is left out of the speeds: it brings the lookups.
 */
export async function backlog({ log }) {
  const directory = await mkdtemp(path.join(tmpdir(), 'dayfill-bench-'));
  let uploads;
  try {
    uploads = await startUploads(directory);
    const generator = (...args) => measured(directory, ['-m', 'ecom_generator', ...args, ...places(directory)]);
    const { seconds: lookups } = await generator('lookups');
    const chunks = [];
    let idState = '';
    for (const [from, to] of CHUNKS) {
      const days = ['--from', from, '--to', to];
      const generate = await generator('generate', ...days, `--id-state=${idState}`);
      idState = JSON.stringify(generate.result.state.id_state);
      const csv = path.join(directory, 'artifacts', `${from}..${to}`);
      const beside = await measured(directory, ['-c', PLAIN_COPY, csv, path.join(directory, 'plain')]);
      const exported = await generator('export', ...days);
      const rows = sum(generate.result.counts, '_rows');
      const csvBytes = await sizeOf(csv);
      const uploaded = await uploads.upload(path.join(directory, 'raw'));
      chunks.push({
        rows,
        generate: stage(generate, rows, csvBytes),
        export: stage(exported, rows, csvBytes),
        upload: stage(uploaded, rows, uploaded.counts.bytes),
        beside: stage(beside, rows, csvBytes),
        parquetBytes: exported.result.counts.bytes,
      });
      await generator('clean', ...days);
    }
    const figures = { lookups: { seconds: lookups }, chunks, ...totals(lookups, chunks) };
    print(log, figures);
    return figures;
  } finally {
    await uploads?.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

const PLAIN_COPY = `
import duckdb, pathlib, sys
pathlib.Path(sys.argv[2]).mkdir(exist_ok=True)
for file in pathlib.Path(sys.argv[1]).glob('*.csv'):
    duckdb.execute(f"copy (from read_csv('{file}', all_varchar = true, auto_detect = false, header = true, strict_mode = false, ignore_errors = true, "
        f"columns = {{{', '.join(repr(name) + ': ' + repr('varchar') for name in open(file).readline().strip().split(','))}}})) to '{sys.argv[2]}/{file.stem}.parquet'")
`;

function places(directory) {
  return ['--artifact-root', path.join(directory, 'artifacts'), '--target-root', path.join(directory, 'raw')];
}

/** Runs Python and gives its wall time, most memory, processor time and, of a generator's command, its result. */
async function measured(directory, args) {
  const resultFile = path.join(directory, 'result.json');
  await rm(resultFile, { force: true });
  const began = performance.now();
  const { stdout } = await execa(PYTHON, [path.join(ROOT, 'bench/child_usage.py'), PYTHON, ...args], {
    cwd: path.join(ROOT, 'warehouse'),
    env: { DAYFILL_RESULT: resultFile },
  });
  const seconds = (performance.now() - began) / 1000;
  const result = await readFile(resultFile, 'utf8').then(JSON.parse, () => null);
  return { seconds, ...JSON.parse(stdout), result };
}

async function sizeOf(folder) {
  const names = await readdir(folder);
  const sizes = await Promise.all(names.map(async (name) => (await stat(path.join(folder, name))).size));
  return sizes.reduce((total, size) => total + size, 0);
}

function sum(counts, ending) {
  return Object.entries(counts).reduce((total, [name, count]) => total + (name.endsWith(ending) ? count : 0), 0);
}

function stage({ seconds, peakBytes, cpuSeconds }, rows, bytes) {
  return {
    seconds: round(seconds),
    cpuSeconds: round(cpuSeconds),
    rowsPerSecond: Math.round(rows / seconds),
    mbPerSecond: round(bytes / seconds / 1e6),
    peakMb: Math.round(peakBytes / 1e6),
  };
}

function totals(lookups, [first, ...chunks]) {
  const total = (of) => chunks.reduce((sum, chunk) => sum + of(chunk), 0);
  const rows = total((chunk) => chunk.rows);
  const seconds = total((chunk) => chunk.generate.seconds + chunk.export.seconds);
  const cpuSeconds = total((chunk) => chunk.generate.cpuSeconds + chunk.export.cpuSeconds);
  const days = chunks.length * DAYS_PER_CHUNK;
  const extra = first.generate.seconds + first.export.seconds - seconds / chunks.length;
  return {
    rowsPerSecond: Math.round(rows / seconds),
    rowsPerCpuSecond: Math.round(rows / cpuSeconds),
    sixYears: {
      rows: Math.round((rows / days) * ALL_DAYS),
      parquetGb: round((total((chunk) => chunk.parquetBytes) / days) * ALL_DAYS * 1e-9),
      hours: round(((seconds / days) * ALL_DAYS + lookups + Math.max(0, extra)) / 3600),
      estimateHours: ESTIMATE_HOURS,
    },
  };
}

function print(log, { chunks, rowsPerSecond, rowsPerCpuSecond, sixYears }) {
  const line = ({ seconds, cpuSeconds, rowsPerSecond, mbPerSecond, peakMb }) =>
    `${seconds} s (${cpuSeconds} s of processor), ${rowsPerSecond} rows/s, ${mbPerSecond} MB/s of CSV, at most ${peakMb} MB of memory`;
  for (const [index, chunk] of chunks.entries()) {
    log(`chunk ${index + 1}: ${chunk.rows} rows${index === 0 ? ', and the lookups' : ''}`);
    log(`  generate     ${line(chunk.generate)}`);
    log(`  export       ${line(chunk.export)}`);
    log(`  upload       ${line(chunk.upload).replace('CSV', 'Parquet')}, into the emulator`);
    log(`  plain copy   ${line(chunk.beside)}`);
  }
  log(
    `generate and export together, without the first chunk: ${rowsPerSecond} rows/s, ${rowsPerCpuSecond} per second of processor`,
  );
  log(
    `six years: ${sixYears.rows} rows, ${sixYears.parquetGb} GB, ${sixYears.hours} hours, beside an estimate of ${ESTIMATE_HOURS} hours`,
  );
}

function round(value) {
  return Math.round(value * 100) / 100;
}
