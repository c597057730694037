/** The Node packages of package-lock.json. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { root } from './places.mjs';

export const name = 'Node packages';

const modifiedMs = (file) => statSync(path.join(root, file), { throwIfNoEntry: false })?.mtimeMs;

/** npm writes its own copy of the lock last of all, so an installation that was cut short counts as missing. */
export function isReady() {
  const installed = modifiedMs('node_modules/.package-lock.json');
  return installed !== undefined && installed >= modifiedMs('package-lock.json');
}

export async function install(task) {
  task.say('npm ci (a minute or two the first time)');
  await task.run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
}
