import path from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { main } from './cli/main.js';
import { loadConfig } from './config.js';
import { PACKAGE_DIR } from './stack/places.js';

const FIRST_DAY = '2025-07-16';
const MOST_DAYS = 30;

/** Starts the stack, makes a month of sample files, backfills the first days of it, and leaves the stack up. */
async function demo(days: number): Promise<number> {
  const began = Date.now();
  const secondsSince = (moment: number) => `${Math.round((Date.now() - moment) / 1000)} s`;
  const dayfill = (...argv: string[]) => main([process.execPath, 'dayfill', ...argv]);
  console.log('— the embedded stack');
  const up = await dayfill('stack', 'up');
  if (up !== 0) return up;
  const stack = secondsSince(began);

  const samplesBegan = Date.now();
  console.log(`— sample files for ${MOST_DAYS} days from ${FIRST_DAY}`);
  const config = loadConfig();
  await execa(path.join(config.venv, 'bin', 'python'), ['-m', 'sample_files'], {
    cwd: path.join(PACKAGE_DIR, 'warehouse'),
    env: {
      DAYFILL_STORAGE_ENDPOINT: config.storageEndpoint ?? '',
      STORAGE_EMULATOR_HOST: config.storageEndpoint ?? '',
    },
    stdio: 'inherit',
  });
  const samples = secondsSince(samplesBegan);

  const backfillBegan = Date.now();
  const last = new Date(Date.parse(FIRST_DAY) + (days - 1) * 86_400_000).toISOString().slice(0, 10);
  console.log(`— backfill of talbots, ${FIRST_DAY} to ${last}`);
  const code = await dayfill('run', 'talbots', '--from', FIRST_DAY, '--to', last, '--reason', 'demo');
  console.log(`
${secondsSince(began)}: stack ${stack}, sample files ${samples}, backfill ${secondsSince(backfillBegan)}. The stack is still up:
  look around    ${config.temporalUi ?? 'the Temporal Web UI'}
  one fixed day  npx dayfill show talbots 2025-07-17
  stop it        npx dayfill stack down`);
  return code;
}

const { values } = parseArgs({ options: { days: { type: 'string', default: '5' } } });
const days = Number(values.days);
if (!Number.isInteger(days) || days < 1 || days > MOST_DAYS) {
  console.error(`--days must be a whole number from 1 to ${MOST_DAYS}, not "${values.days}".`);
  process.exitCode = 2;
} else {
  process.exitCode = await demo(days);
}
