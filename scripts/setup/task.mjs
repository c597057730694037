/** One part of setup: says what it does, shows that it lives, and runs commands whose output appears only on failure. */
import { spawn } from 'node:child_process';
import { noteCommand } from './lock.mjs';
import { root } from './places.mjs';
import { endGroup } from './processes.mjs';

const SIGN_OF_LIFE_MS = 10_000;
const TAIL_LINES = 15;

/** A part that cannot be done; the message is for people. `printed` is all that a failed command wrote. */
export class SetupError extends Error {
  constructor(message, printed = '') {
    super(message);
    this.printed = printed;
  }
}

const running = new Set();

/** Ends every command that is under way, for when setup itself is told to stop. */
export function stopCommands() {
  for (const child of running) endGroup(child.pid, 'SIGKILL');
}

export class Task {
  #name;
  #started = Date.now();

  constructor(name) {
    this.#name = name;
  }

  /** Prints one line on stderr, so that a command that prints JSON keeps its stdout clean. */
  say(text) {
    process.stderr.write(`setup: ${this.#name}: ${text}\n`);
  }

  seconds() {
    return `${((Date.now() - this.#started) / 1000).toFixed(1)} s`;
  }

  /**
   * Runs a command in the checkout and gives its stdout.
   * @param {{ timeoutMs?: number, env?: Record<string, string> }} [options]
   * @throws SetupError with the last lines of what it printed, when it fails or takes longer than `timeoutMs`.
   */
  async run(command, args, { timeoutMs, env } = {}) {
    const alive = setInterval(() => this.say(`still working (${this.seconds()})`), SIGN_OF_LIFE_MS);
    try {
      return await run(command, args, { timeoutMs, env });
    } finally {
      clearInterval(alive);
    }
  }
}

/** Like {@link Task.run}, without a sign of life. */
export function run(command, args, { timeoutMs, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    if (child.pid === undefined) {
      child.on('error', (error) => {
        reject(
          new SetupError(
            `"${command}" ${error.code === 'ENOENT' ? 'is not there' : `cannot be run: ${error.message}`}`,
          ),
        );
      });
      return;
    }
    running.add(child);
    const forget = noteCommand(child.pid);
    let tookTooLong = false;
    const limit =
      timeoutMs &&
      setTimeout(() => {
        tookTooLong = true;
        endGroup(child.pid, 'SIGKILL');
      }, timeoutMs);
    let stdout = '';
    let printed = '';
    child.stdout.on('data', (data) => {
      stdout += data;
      printed += data;
    });
    child.stderr.on('data', (data) => {
      printed += data;
    });
    const fail = (what) => {
      const tail = printed.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
      reject(new SetupError(`"${[command, ...args].join(' ')}" ${what}${tail ? `:\n${tail}` : ''}`, printed));
    };
    child.on('close', (code, signal) => {
      clearTimeout(limit);
      running.delete(child);
      forget();
      if (tookTooLong) fail(`took longer than ${timeoutMs / 1000} s`);
      else if (code === 0) resolve(stdout);
      else fail(signal ? `was ended by ${signal}` : `ended with exit code ${code}`);
    });
  });
}

/** Stdout of a short command, or null when it isn't there or fails. */
export async function probe(command, args) {
  try {
    return await run(command, args, { timeoutMs: 10_000 });
  } catch {
    return null;
  }
}
