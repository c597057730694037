import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
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

/** Stand-ins for what setup runs. Each says in $JOURNAL that it ran; the Temporal on the PATH is too old to be used. */
const TOOLS = {
  temporal: 'echo "temporal version 1.3.0 (Server 1.27.1, UI 2.36.0)"',
  npm: 'echo "npm $1" >> "$JOURNAL"; touch -d "+1 minute" node_modules/.package-lock.json',
  go: `[ "$1" = install ] || exec echo "go version go1.24"
    echo "go $1" >> "$JOURNAL"
    printf '#!/bin/sh\necho "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)"' > "$GOBIN/temporal"
    chmod +x "$GOBIN/temporal"`,
};
const { VERSION } = await import(path.resolve('scripts/setup/temporal.mjs'));

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
  writeFileSync(path.join(checkout, '.dayfill/bin/temporal.version'), VERSION);
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

describe('with stand-ins for what it runs', () => {
  let env: Record<string, string>;

  beforeEach(() => {
    const tools = path.join(checkout, 'tools');
    mkdirSync(tools);
    for (const [name, script] of Object.entries(TOOLS)) {
      writeFileSync(path.join(tools, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    env = {
      DAYFILL_VENV: venv,
      PATH: `${tools}${path.delimiter}${process.env.PATH}`,
      XDG_CACHE_HOME: path.join(checkout, 'cache'),
      JOURNAL: path.join(checkout, 'journal'),
    };
    writeFileSync(env.JOURNAL!, '');
  });

  /** What a setup that must succeed runs. */
  async function ran(): Promise<string> {
    writeFileSync(env.JOURNAL!, '');
    const { exitCode, stderr } = await setup(env);
    if (exitCode !== 0) throw new Error(stderr);
    return readFileSync(env.JOURNAL!, 'utf8');
  }

  test('another package-lock.json has the Node packages installed, once, and nothing else', async () => {
    expect(await ran()).toBe('');
    const { mtimeMs } = statSync(path.join(checkout, 'node_modules/.package-lock.json'));
    utimesSync(path.join(checkout, 'dist/config.js'), mtimeMs, mtimeMs);
    utimesSync(path.join(checkout, 'package-lock.json'), mtimeMs / 1000 + 1, mtimeMs / 1000 + 1);
    expect(await ran()).toBe('npm ci\n');
    expect(await ran()).toBe('');
  });

  test('another version of Temporal is built, once, and another checkout takes it as it is', async () => {
    const bin = path.join(checkout, '.dayfill/bin');
    writeFileSync(path.join(bin, 'temporal.version'), 'v1.4.0');
    expect(await ran()).toBe('go install\n');
    expect(await ran()).toBe('');
    const built = readFileSync(path.join(bin, 'temporal'), 'utf8');
    rmSync(bin, { recursive: true });
    expect(await ran()).toBe('');
    expect(readFileSync(path.join(bin, 'temporal'), 'utf8')).toBe(built);
  });

  test('what is kept for other checkouts is not used when it does not run', async () => {
    rmSync(path.join(checkout, '.dayfill/bin'), { recursive: true });
    expect(await ran()).toBe('go install\n');
    rmSync(path.join(checkout, '.dayfill/bin'), { recursive: true });
    const folder = path.join(checkout, 'cache/dayfill');
    writeFileSync(path.join(folder, readdirSync(folder)[0]!), '');
    expect(await ran()).toBe('go install\n');
  });

  test('says how long each part took that it made, and all of it', async () => {
    rmSync(path.join(checkout, '.dayfill/bin'), { recursive: true });
    const { stderr } = await setup(env);
    const took = stderr.split('\n').filter((line) => line.includes('done in'));
    expect(took).toEqual([
      expect.stringMatching(/^setup: Temporal: done in \d+\.\d s$/),
      expect.stringMatching(/^setup: all: done in \d+\.\d s$/),
    ]);
  });
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
