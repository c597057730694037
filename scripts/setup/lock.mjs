/**
 * One setup at a time per checkout. The lock is a folder that its owner touches every two seconds; it is taken over
 * when its owner is gone or has stopped touching it, and what the owner had started, noted in the folder, is ended then.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toolsDir } from './places.mjs';
import { endGroup, startTime } from './processes.mjs';

const TOUCH_MS = 2_000;
const STALE_MS = 15_000;
const lock = path.join(toolsDir, 'setup.lock');
const ownerFile = path.join(lock, 'owner.json');
const commandFile = (folder, pid) => path.join(folder, `command.${pid}`);
let held = false;

/** Waits until no other setup runs here, then gives the function that lets the next one in. */
export async function takeLock(onWait) {
  mkdirSync(toolsDir, { recursive: true });
  let said = false;
  while (!tryLock()) {
    const other = inspect();
    if (other?.stale) {
      await takeOver(other.id);
      continue;
    }
    if (other && !said) {
      onWait(other.pid);
      said = true;
    }
    await sleep(300);
  }
  held = true;
  const touching = setInterval(() => {
    const now = new Date();
    utimesSync(lock, now, now);
  }, TOUCH_MS);
  return () => {
    clearInterval(touching);
    held = false;
    rmSync(lock, { recursive: true, force: true });
  };
}

/** Notes a command that this setup started, the leader of its own group; the function forgets it again. */
export function noteCommand(pid) {
  if (!held) return () => {};
  writeFileSync(commandFile(lock, pid), startTime(pid) ?? '');
  return () => rmSync(commandFile(lock, pid), { force: true });
}

function tryLock() {
  try {
    mkdirSync(lock);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  writeFileSync(ownerFile, JSON.stringify({ pid: process.pid, host: hostname() }));
  return true;
}

/** Who holds the lock; null when it was let go meanwhile. */
function inspect() {
  try {
    const { ino, mtimeMs } = statSync(lock);
    const untouched = Date.now() - mtimeMs > STALE_MS;
    const { pid, host } = readOwner();
    return { id: ino, pid, stale: untouched || (host === hostname() && startTime(pid) === null) };
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

/** The owner writes its name just after it made the folder, so it may not be there yet. */
function readOwner() {
  try {
    return JSON.parse(readFileSync(ownerFile, 'utf8'));
  } catch {
    return { pid: 0, host: null };
  }
}

/** Moves a stale lock away. Two that do so at once could move a fresh one: then it is put back. */
async function takeOver(id) {
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
  } catch (error) {
    if (error.code === 'ENOENT') return;
    throw error;
  }
  if (statSync(aside).ino !== id) {
    renameSync(aside, lock);
    return;
  }
  for (const file of readdirSync(aside)) {
    const pid = Number(/^command\.(\d+)$/.exec(file)?.[1]);
    if (!pid || startTime(pid) !== readFileSync(commandFile(aside, pid), 'utf8')) continue;
    endGroup(pid, 'SIGKILL');
    while (startTime(pid) !== null) await sleep(20);
  }
  rmSync(aside, { recursive: true, force: true });
}
