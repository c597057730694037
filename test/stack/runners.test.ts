import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { createRunner } from '../../src/runners/create-runner.js';
import { LogFile } from '../../src/runners/log-file.js';
import { LostProgramError, MissingExecutableError, type Runner, type RunRequest } from '../../src/runners/runner.js';
import { ageMs, isRunning, parentOf, processesWith, until } from './fixtures/processes.js';

const WORKER = path.resolve('test/stack/fixtures/runner-worker.mjs');
const KEY = 'runners/2025-07-16/crm';
const logger = pino({ level: 'silent' });
/** Says its own pid and its child's; both ignore SIGTERM. */
const STUBBORN = 'trap "" TERM; sleep 1000 & echo $$ $!; wait; sleep 1000';
/** The child leaves the group and the session. */
const RUNAWAY = 'setsid sleep 1000 & echo $$ $!; wait';

let stateDir: string;
let runner: Runner;
let log: LogFile;
const workers: ChildProcess[] = [];

beforeAll(() => {
  process.env.DAYFILL_TEST_SECRET = 'only the worker knows';
});
afterAll(() => {
  delete process.env.DAYFILL_TEST_SECRET;
});
beforeEach(async () => {
  stateDir = mkdtempSync(path.join(tmpdir(), 'dayfill-runners-'));
  runner = createRunner({ stateDir, logger });
  log = await LogFile.create(stateDir, 'logs/test.log');
});
afterEach(async () => {
  for (const worker of workers.splice(0)) worker.kill('SIGKILL');
  await runner.sweep();
  await runner.close();
  await log.close();
  rmSync(stateDir, { recursive: true });
});

const request = (argv: string[], more: Partial<RunRequest> = {}): RunRequest => ({
  argv,
  cwd: stateDir,
  env: { DAYFILL_KEY: KEY, DAYFILL_STATE_DIR: stateDir },
  key: KEY,
  log,
  signal: new AbortController().signal,
  ...more,
});
const bash = (script: string, more: Partial<RunRequest> = {}) => request(['bash', '-c', script], more);
const runFiles = () => readdirSync(path.join(stateDir, 'runs'));

async function logged(): Promise<string> {
  await log.close();
  return readFileSync(log.absolutePath, 'utf8');
}

/** Starts a run and returns it with the numbers on its first line, which are pids. */
async function started(script: string, more: Partial<RunRequest> = {}, by = runner) {
  let pids: number[] = [];
  const onStdoutLine = (line: string) => {
    pids = line.split(' ').map(Number);
    return line;
  };
  const run = by.run(bash(script, { onStdoutLine, ...more }));
  run.catch(() => {});
  await until('the first line', () => pids.length > 0);
  return { run, pids };
}

/** The same in a worker process of its own. */
async function startedByWorker(script: string) {
  const worker = spawn(process.execPath, [WORKER, stateDir, KEY, 'bash', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  workers.push(worker);
  for await (const line of createInterface({ input: worker.stdout! })) {
    return { worker, pids: line.split(' ').map(Number) };
  }
  throw new Error('The worker ended without a line.');
}

/** The launchers of others than this test's own process. */
function launcherOf(worker: ChildProcess): number {
  const launcher = processesWith('runners/launcher.js').find((pid) => parentOf(pid) === worker.pid);
  if (launcher === undefined) throw new Error('The worker has no launcher.');
  return launcher;
}

/** Those of this test's own process. */
function ownLaunchers(): number[] {
  return processesWith('runners/launcher.js').filter((pid) => parentOf(pid) === process.pid);
}

describe('a run', () => {
  test('ends with its exit code, its output in the log, and no note left', async () => {
    const result = await runner.run(bash('echo one; echo two >&2; printf three; exit 3'));
    expect(result).toEqual({ exitCode: 3, killedBy: null });
    expect((await logged()).split('\n').sort()).toEqual(['', 'one', 'three', 'two']);
    expect(runFiles()).toEqual([]);
  });

  test('is noted while it lasts', async () => {
    const { run, pids } = await started('echo $$; read -t 1000 < <(sleep 1000)');
    const [name] = runFiles();
    const note = JSON.parse(readFileSync(path.join(stateDir, 'runs', name!), 'utf8'));
    expect(note).toMatchObject({ key: KEY, pid: pids[0], program: 'bash', workerPid: process.pid });
    await runner.takeOver(KEY);
    await expect(run).rejects.toThrow(/took over/);
  });

  test('tells the signal that ended it', async () => {
    expect(await runner.run(bash('kill -KILL $$'))).toEqual({ exitCode: null, killedBy: 'SIGKILL' });
  });

  test('gets its arguments as they are: no shell reads them', async () => {
    await runner.run(request(['printf', '%s\n', '$(touch pwned); *', 'a b', "it's"]));
    expect(await logged()).toBe("$(touch pwned); *\na b\nit's\n");
    expect(readdirSync(stateDir)).not.toContain('pwned');
  });

  test('finds in its environment what it was given and little else', async () => {
    await runner.run(request(['env'], { env: { GIVEN: 'yes' } }));
    const names = (await logged())
      .trim()
      .split('\n')
      .map((line) => line.split('=')[0]);
    expect(names).toContain('GIVEN');
    expect(names.filter((name) => !/^(?:PATH|HOME|LANG|LC_\w+|TMPDIR|USER|GIVEN)$/.test(name!))).toEqual([]);
  });

  test('finds its program by the PATH that it is given', async () => {
    mkdirSync(path.join(stateDir, 'bin'));
    writeFileSync(path.join(stateDir, 'bin', 'only-here'), '#!/bin/sh\necho found', { mode: 0o755 });
    await runner.run(request(['only-here'], { env: { PATH: `${stateDir}/bin:${process.env.PATH}` } }));
    expect(await logged()).toBe('found\n');
  });

  test('leaves no personal data in log and tail', async () => {
    await runner.run(bash('echo jane.doe@example.com called from 415-555-0123 on 2025-07-16'));
    expect(log.tail()).toBe('<email> called from <phone> on 2025-07-16');
    expect(await logged()).not.toContain('jane');
  });

  test('shows each line, and the log gets what is made of it', async () => {
    const onStdoutLine = (line: string) => (line === 'quiet' ? null : line.toUpperCase());
    await runner.run(bash('echo loud; echo quiet', { onStdoutLine }));
    expect(await logged()).toBe('LOUD\n');
  });

  test('is stopped by an error in whoever looks at its lines', async () => {
    const onStdoutLine = () => {
      throw new Error('cannot read this');
    };
    await expect(runner.run(bash('echo x; sleep 1000', { onStdoutLine }))).rejects.toThrow('cannot read this');
    expect(runFiles()).toEqual([]);
  });

  test('can print far more than there is memory for, and lines without end', async () => {
    const before = process.memoryUsage().rss;
    let most = 0;
    const onStdoutLine = (line: string) => {
      most = Math.max(most, process.memoryUsage.rss() - before);
      return line;
    };
    await runner.run(
      bash("head -c 150M /dev/zero | tr '\\0' x | fold -w 60000; head -c 50M /dev/zero | tr '\\0' y", { onStdoutLine }),
    );
    await log.close();
    expect(statSync(log.absolutePath).size).toBeGreaterThan(200 * 1024 * 1024);
    expect(most).toBeLessThan(150 * 1024 * 1024);
    expect(Buffer.byteLength(log.tail())).toBeLessThanOrEqual(2048);
  });

  test('does not wait for a daemon that holds its output open', async () => {
    const { run, pids } = await started('setsid sleep 1000 & echo $!');
    expect((await run).exitCode).toBe(0);
    process.kill(pids[0]!, 'SIGKILL');
  });

  test('takes what it left in the background along when it ends', async () => {
    const { run, pids } = await started('sleep 1000 & echo $!');
    expect((await run).exitCode).toBe(0);
    expect(isRunning(pids[0]!)).toBe(false);
  });
});

describe('what cannot be started', () => {
  test.each([
    ['a program that is not there', ['no-such-program'], {}, /no-such-program was not found/],
    ['a path that is not there', ['/nowhere/bin/dbt'], {}, /\/nowhere\/bin\/dbt was not found/],
    ['a file that is no program', ['/etc/passwd'], {}, /\/etc\/passwd may not be run/],
    ['a folder that is not there', ['true'], { cwd: '/nowhere' }, /folder \/nowhere .* is not there/],
  ])('%s', async (_, argv, more, message) => {
    const run = runner.run(request(argv, more));
    await expect(run).rejects.toThrow(MissingExecutableError);
    await expect(run).rejects.toThrow(message);
    expect(runFiles()).toEqual([]);
  });
});

describe('stopping', () => {
  test('reaches the whole group, and kills what does not end by itself', async () => {
    const stop = new AbortController();
    const { run, pids } = await started(STUBBORN, { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(run).rejects.toThrow('enough');
    expect(pids.map(isRunning)).toEqual([false, false]);
  });

  test('is quick for what ends when asked', async () => {
    const stop = new AbortController();
    const { run, pids } = await started('sleep 1000 & echo $$ $!; wait', { signal: stop.signal });
    const began = performance.now();
    stop.abort(new Error('enough'));
    await expect(run).rejects.toThrow('enough');
    expect(performance.now() - began).toBeLessThan(1000);
    expect(pids.map(isRunning)).toEqual([false, false]);
  });

  test('before the start starts nothing', async () => {
    const run = runner.run(bash('touch started', { signal: AbortSignal.abort(new Error('too late')) }));
    await expect(run).rejects.toThrow('too late');
    expect(readdirSync(stateDir)).not.toContain('started');
    expect(runFiles()).toEqual([]);
  });
});

describe('a second run under the same key', () => {
  test('takes the place of the first one of the same worker', async () => {
    const first = await started('sleep 1000 & echo $$ $!; wait');
    const second = await started('echo $$; exec sleep 1000');
    await expect(first.run).rejects.toThrow(/later attempt/);
    expect(first.pids.map(isRunning)).toEqual([false, false]);
    expect(isRunning(second.pids[0]!)).toBe(true);
    expect(runFiles()).toHaveLength(1);
    await runner.takeOver(KEY);
    expect(isRunning(second.pids[0]!)).toBe(false);
  });

  test('takes the place of one of another worker, even one that lives', async () => {
    const { pids } = await startedByWorker('echo $$; exec sleep 1000');
    expect((await runner.run(bash('true'))).exitCode).toBe(0);
    expect(isRunning(pids[0]!)).toBe(false);
  });

  test('leaves that of another state directory alone', async () => {
    const { pids } = await startedByWorker('echo $$; exec sleep 1000');
    const elsewhere = mkdtempSync(path.join(tmpdir(), 'dayfill-runners-'));
    const another = createRunner({ stateDir: elsewhere, logger });
    await another.takeOver(KEY);
    expect(isRunning(pids[0]!)).toBe(true);
    await another.close();
    rmSync(elsewhere, { recursive: true });
  });

  test('does not touch a process that has the pid of an old note by chance', async () => {
    const bystander = spawn('sleep', ['1000'], { detached: true });
    const { run } = await started('echo $$; exec sleep 1000');
    const file = path.join(stateDir, 'runs', runFiles()[0]!);
    const note = JSON.parse(readFileSync(file, 'utf8'));
    await runner.takeOver(KEY);
    await expect(run).rejects.toThrow();
    // Both may have started within the same tick of the clock, so the note's time is made another.
    writeFileSync(file, JSON.stringify({ ...note, pid: bystander.pid, startTime: '1' }));
    await runner.run(bash('true'));
    expect(isRunning(bystander.pid!)).toBe(true);
    bystander.kill('SIGKILL');
  });
});

describe('a worker that is killed', () => {
  test('takes along what it ran, at once, and its launcher ends', async () => {
    const { worker, pids } = await startedByWorker(STUBBORN);
    const launcher = launcherOf(worker);
    const killed = performance.now();
    worker.kill('SIGKILL');
    await until('the death of the group', () => !pids.some(isRunning));
    expect(performance.now() - killed).toBeLessThan(1000);
    await until('the end of the launcher', () => !isRunning(launcher));
  });

  test('with its launcher leaves orphans, which the next worker stops when it starts', async () => {
    const { worker, pids } = await startedByWorker(STUBBORN);
    process.kill(launcherOf(worker), 'SIGKILL');
    worker.kill('SIGKILL');
    await until('the death of the worker', () => !isRunning(worker.pid!));
    expect(pids.map(isRunning)).toEqual([true, true]);
    await runner.sweep();
    expect(pids.map(isRunning)).toEqual([false, false]);
    expect(runFiles()).toEqual([]);
  });

  test('leaves nothing of a step that left its group, once the step is taken over', async () => {
    const { worker, pids } = await startedByWorker(RUNAWAY);
    worker.kill('SIGKILL');
    await until('the death of the leader', () => !isRunning(pids[0]!));
    await runner.takeOver(KEY);
    expect(isRunning(pids[1]!)).toBe(false);
  });

  test('leaves a note without a pid when it dies between note and start; the step is found by its key', async () => {
    const { worker, pids } = await startedByWorker('echo $$; exec sleep 1000');
    process.kill(launcherOf(worker), 'SIGKILL');
    worker.kill('SIGKILL');
    const file = path.join(stateDir, 'runs', runFiles()[0]!);
    const note = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...note, pid: null, startTime: null }));
    await runner.run(bash('true'));
    expect(isRunning(pids[0]!)).toBe(false);
  });
});

test('a worker that starts leaves the runs of one that lives alone', async () => {
  const { pids } = await startedByWorker('echo $$; exec sleep 1000');
  await runner.sweep();
  expect(isRunning(pids[0]!)).toBe(true);
  expect(runFiles()).toHaveLength(1);
});

describe('a launcher that is killed', () => {
  test('is replaced; what it started is stopped and lost, and what comes next runs', async () => {
    const another = createRunner({ stateDir, logger });
    const { run, pids } = await started(STUBBORN, {}, another);
    const [launcher] = ownLaunchers().filter((pid) => pids.some((program) => parentOf(program) === pid));
    await until('a launcher that has lived long enough to be replaced', () => ageMs(launcher!) > 1100);
    process.kill(launcher!, 'SIGKILL');
    await expect(run).rejects.toThrow(LostProgramError);
    expect(pids.some(isRunning)).toBe(false);
    expect(await another.run(bash('exit 4'))).toEqual({ exitCode: 4, killedBy: null });
    await another.close();
  });

  test('is replaced by one that knows of the processes that stay', async () => {
    const bystander = spawn('sleep', ['1000'], { detached: true });
    const pipe = path.join(stateDir, 'pipe.mjs');
    writeFileSync(
      pipe,
      `import { LauncherPipe } from '${path.resolve('dist/runners/launcher-pipe.js')}';
       new LauncherPipe(console).add(${bystander.pid});
       setInterval(() => {}, 1000);`,
    );
    const worker = spawn(process.execPath, [pipe], { stdio: 'inherit' });
    workers.push(worker);
    await until('its launcher', () => processesWith('runners/launcher.js').some((pid) => parentOf(pid) === worker.pid));
    const launcher = launcherOf(worker);
    await until('a launcher that has lived long enough to be replaced', () => ageMs(launcher) > 1100);
    process.kill(launcher, 'SIGKILL');
    await until('another launcher', () =>
      processesWith('runners/launcher.js').some((pid) => pid !== launcher && parentOf(pid) === worker.pid),
    );
    worker.kill('SIGKILL');
    await until('the death of the group', () => !isRunning(bystander.pid!));
  });
});

test('closing the runner ends its launcher', async () => {
  const before = ownLaunchers();
  const another = createRunner({ stateDir, logger });
  await until('its launcher', () => ownLaunchers().length === before.length + 1);
  await another.close();
  expect(ownLaunchers()).toEqual(before);
});
