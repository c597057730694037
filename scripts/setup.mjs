/**
 * Installs what is missing: Node packages, the Python environment, the Temporal binary, and the build. Uses nothing but
 * Node itself, because on a fresh clone there is nothing else. Silent when all is there.
 */

import * as dist from './setup/dist.mjs';
import { takeLock } from './setup/lock.mjs';
import * as nodePackages from './setup/node-packages.mjs';
import * as python from './setup/python.mjs';
import { SetupError, stopCommands, Task } from './setup/task.mjs';
import * as temporal from './setup/temporal.mjs';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 3)) {
  console.error(
    `setup: Node 20.3 or later is needed and this is ${process.versions.node}: install one from nodejs.org.`,
  );
  process.exit(1);
}

if (!(await isAllThere())) {
  const unlock = await takeLock((pid) => console.error(`setup: waiting for another setup in this folder (pid ${pid})`));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(signal, () => {
      stopCommands();
      unlock();
      process.exit(signal === 'SIGINT' ? 130 : 143);
    });
  }
  try {
    await setUp();
  } finally {
    unlock();
  }
}

async function isAllThere() {
  const parts = [nodePackages, python, dist, temporal];
  for (const part of parts) if (!(await part.isReady())) return false;
  return true;
}

/** Python goes its own way, and Temporal where it is not downloaded by its SDK; that and the build need the Node packages. */
async function setUp() {
  const whole = new Task('all');
  const node = ensure(nodePackages);
  const build = node.then((ok) => (ok ? ensure(dist) : false));
  const done = await Promise.all([node, ensure(python), ensure(temporal, node), build]);
  if (done.includes(false)) process.exitCode = 1;
  else whole.say(`done in ${whole.seconds()}`);
}

/** Does a part unless it is done; false when it could not be, which has been said. `before` is another that it may wait for. */
async function ensure(part, before) {
  if (await part.isReady()) return true;
  const task = new Task(part.name);
  try {
    await part.install(task, before);
    task.say(`done in ${task.seconds()}`);
    return true;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    task.say(error.message);
    return false;
  }
}
