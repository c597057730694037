import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { execa } from 'execa';
import { loadConfig } from '../../src/config.js';
import { startTimeOf } from '../../src/runners/processes.js';

/** Takes the lock, notes when it came in and went out, and stays for a while with a command under way. */
const USER_OF_THE_LOCK = `
import { appendFileSync } from 'node:fs';
import { takeLock } from './setup/lock.mjs';
import { run } from './setup/task.mjs';
const [journal, seconds] = process.argv.slice(2);
const unlock = await takeLock(() => appendFileSync(journal, 'waits\\n'));
appendFileSync(journal, 'in\\n');
await run('sh', ['-c', 'echo $$ > "' + journal + '.pid"; sleep ' + seconds]);
appendFileSync(journal, 'out\\n');
unlock();
`;

let checkout: string;
let venv: string;

/** A checkout in which everything is there, without what takes long to make. */
beforeEach(() => {
  venv = loadConfig().venv;
  checkout = mkdtempSync(path.join(tmpdir(), 'dayfill-setup-'));
  const keep = { recursive: true, preserveTimestamps: true };
  for (const part of [
    'scripts',
    'warehouse/requirements.lock',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
  ]) {
    cpSync(part, path.join(checkout, part), keep);
  }
  for (const folder of ['src', 'dist', 'node_modules', '.dayfill/bin'])
    mkdirSync(path.join(checkout, folder), { recursive: true });
  const later = Date.now() / 1000 + 10;
  for (const made of ['dist/config.js', 'node_modules/.package-lock.json', '.dayfill/bin/temporal']) {
    writeFileSync(path.join(checkout, made), '');
    utimesSync(path.join(checkout, made), later, later);
  }
});
afterEach(() => rmSync(checkout, { recursive: true, force: true }));

function setup(env: Record<string, string>) {
  return execa(process.execPath, ['scripts/setup.mjs'], { cwd: checkout, env, reject: false });
}

test('is silent when all is there, and leaves an environment that someone names alone', async () => {
  const { exitCode, stdout, stderr } = await setup({ DAYFILL_VENV: venv });
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: '', stderr: '' });
});

test('refuses a DAYFILL_VENV that holds something else, untouched', async () => {
  const mine = path.join(checkout, 'mine');
  mkdirSync(mine);
  writeFileSync(path.join(mine, 'notes.txt'), 'mine');
  const { exitCode, stderr } = await setup({ DAYFILL_VENV: mine });
  expect(exitCode).toBe(1);
  expect(stderr).toContain(`DAYFILL_VENV is ${mine}, which holds no Python environment`);
  expect(readFileSync(path.join(mine, 'notes.txt'), 'utf8')).toBe('mine');
  expect(existsSync(path.join(checkout, '.dayfill/setup.lock'))).toBe(false);
});

test('says in one sentence which Python it needs', async () => {
  const { exitCode, stderr } = await setup({
    PATH: path.join(checkout, 'nothing'),
    DAYFILL_STATE_DIR: path.join(checkout, 'state'),
  });
  expect(exitCode).toBe(1);
  expect(stderr).toContain('Python 3.11, 3.12 or 3.13 is needed and none is on the PATH');
});

test('lets two at once in one after the other', async () => {
  const journal = path.join(checkout, 'journal');
  await Promise.all([useLock(journal, 0.5), useLock(journal, 0.5)]);
  const lines = readFileSync(journal, 'utf8').trim().split('\n');
  expect(lines.filter((line) => line !== 'waits')).toEqual(['in', 'out', 'in', 'out']);
});

test('takes over at once from one that was killed, and ends what that left running', async () => {
  const [first, second] = [path.join(checkout, 'first'), path.join(checkout, 'second')];
  const killed = useLock(first, 600);
  const textOf = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : '');
  const command = () => Number(textOf(`${first}.pid`));
  // Killed before the lock knows of the command, it would leave it running.
  const note = () => textOf(path.join(checkout, `.dayfill/setup.lock/command.${command()}`));
  while (command() === 0 || note() === '') await new Promise((resolve) => setTimeout(resolve, 20));
  killed.kill('SIGKILL');
  await killed;
  expect(startTimeOf(command())).not.toBeNull();
  const begun = Date.now();
  await useLock(second, 0);
  expect(Date.now() - begun).toBeLessThan(10_000);
  expect(readFileSync(second, 'utf8')).toBe('in\nout\n');
  expect(startTimeOf(command())).toBeNull();
});

test.each([
  ['temporal version 1.4.1 (Server 1.28.1, UI 2.39.0)', true],
  ['temporal version 2.0.0 (Server 2.0.0, UI 3.0.0)', true],
  ['temporal version 0.0.0-DEV (Server 1.29.1, UI 2.42.1)', true],
  ['temporal version 1.3.0 (Server 1.27.1, UI 2.36.0)', false],
  ['temporal version 0.0.0-DEV (Server 1.27.1, UI 2.36.0)', false],
  ['', false],
])('knows whether "%s" will do', async (printed, usable) => {
  const { isUsable } = await import(path.resolve('scripts/setup/temporal.mjs'));
  expect(isUsable(printed)).toBe(usable);
});

function useLock(journal: string, seconds: number) {
  const script = path.join(checkout, 'scripts/use-lock.mjs');
  writeFileSync(script, USER_OF_THE_LOCK);
  return execa(process.execPath, [script, journal, String(seconds)], { reject: false });
}
