/**
 * One setup at a time per checkout. The lock is a folder that its owner touches every two seconds; it is taken over
 * when its owner is gone or has stopped touching it.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toolsDir } from './places.mjs';

const TOUCH_MS = 2_000;
const STALE_MS = 15_000;
const lock = path.join(toolsDir, 'setup.lock');
const ownerFile = path.join(lock, 'owner.json');

/** Waits until no other setup runs here, then gives the function that lets the next one in. */
export async function takeLock(onWait) {
  mkdirSync(toolsDir, { recursive: true });
  let said = false;
  while (!tryLock()) {
    const other = inspect();
    if (other?.stale) {
      takeOver(other.id);
      continue;
    }
    if (other && !said) {
      onWait(other.pid);
      said = true;
    }
    await sleep(300);
  }
  const touching = setInterval(() => {
    const now = new Date();
    utimesSync(lock, now, now);
  }, TOUCH_MS);
  return () => {
    clearInterval(touching);
    rmSync(lock, { recursive: true, force: true });
  };
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
    const { pid = 0, host } = readOwner();
    return { id: ino, pid, stale: untouched || (host === hostname() && !isAlive(pid)) };
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
    return {};
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Moves a stale lock away. Two that do so at once could move a fresh one: then it is put back. */
function takeOver(id) {
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
  } catch (error) {
    if (error.code === 'ENOENT') return;
    throw error;
  }
  if (statSync(aside).ino === id) rmSync(aside, { recursive: true, force: true });
  else renameSync(aside, lock);
}
