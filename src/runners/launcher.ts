/**
 * Starts a worker's programs, and is its last will: a program of its own, which kills the process groups that live when its standard
 * input ends, which it does however the worker ends. Whoever stops a worker in good order has told it first that no group lives.
 *
 * A worker does not start programs itself, because a fork copies the page tables of the whole process: 5 ms and more for each 100 MB,
 * in which it does nothing else. This program is small.
 *
 * Its arguments are the folder for its socket, and the groups that live. Standard input and output carry the messages below, one JSON object a line.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** `start` is a number for the program, by which it is called from then on. */
export interface StartMessage {
  start: number;
  program: string;
  args: string[];
  cwd: string;
  /** All of its environment. */
  env: Record<string, string>;
}
export type ToLauncher = StartMessage | { add: number } | { remove: number };
export type FromLauncher =
  /** A connection to this socket that begins with `<number> stdout` or `<number> stderr` becomes that stream of the program. */
  | { listening: string }
  | { started: number; pid: number }
  | { failed: number; code?: string | undefined; message: string }
  | { ended: number; exitCode: number | null; killedBy: NodeJS.Signals | null };

const [, , temporaryFolder = '', ...alive] = process.argv;
const folder = mkdtempSync(path.join(temporaryFolder, 'dayfill-'));
const socketPath = path.join(folder, 'launcher');
const groups = new Set(alive.map(Number));
const streams = new Map<string, Socket>();
const waiting = new Map<string, (stream: Socket) => void>();

createServer((stream) => {
  // A name is a few bytes, written at once. Nothing comes after it.
  stream.once('data', (name) => {
    stream.pause();
    const take = waiting.get(`${name}`);
    if (take === undefined) streams.set(`${name}`, stream);
    else take(stream);
  });
}).listen(socketPath, () => say({ listening: socketPath }));

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const message = JSON.parse(line) as ToLauncher;
    if ('start' in message) void start(message);
    else if ('add' in message) groups.add(message.add);
    else groups.delete(message.remove);
  })
  .on('close', () => {
    for (const group of groups) {
      try {
        process.kill(-group, 'SIGKILL');
      } catch {
        // it ended by itself
      }
    }
    rmSync(folder, { recursive: true, force: true });
    process.exit();
  });
process.stdout.on('error', () => {}); // the worker is gone: standard input ends too

async function start({ start: id, program, args, cwd, env }: StartMessage): Promise<void> {
  const [stdout, stderr] = await Promise.all([streamOf(`${id} stdout`), streamOf(`${id} stderr`)]);
  const failed = ({ code, message }: NodeJS.ErrnoException) => say({ failed: id, code, message });
  try {
    const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', stdout, stderr] });
    child.on('error', failed);
    child.on('exit', (exitCode, killedBy) => say({ ended: id, exitCode, killedBy }));
    if (child.pid === undefined) return;
    groups.add(child.pid);
    say({ started: id, pid: child.pid });
  } catch (error) {
    failed(error as NodeJS.ErrnoException);
  } finally {
    // The program has its own copies: they end when it ends.
    stdout.destroy();
    stderr.destroy();
  }
}

/** The connection that begins with the name, once it is there. */
async function streamOf(name: string): Promise<Socket> {
  const stream = streams.get(name) ?? (await new Promise<Socket>((resolve) => waiting.set(name, resolve)));
  streams.delete(name);
  waiting.delete(name);
  return stream;
}

function say(message: FromLauncher): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
