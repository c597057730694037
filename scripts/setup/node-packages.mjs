/** The Node packages of package-lock.json. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { root } from './places.mjs';
import { SetupError } from './task.mjs';

export const name = 'Node packages';

const modifiedMs = (file) => statSync(path.join(root, file), { throwIfNoEntry: false })?.mtimeMs;

/** npm writes its own copy of the lock last of all, so an installation that was cut short counts as missing. */
export function isReady() {
  const installed = modifiedMs('node_modules/.package-lock.json');
  return installed !== undefined && installed >= modifiedMs('package-lock.json');
}

export async function install(task) {
  task.say('npm ci (a minute or two the first time)');
  const options = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  try {
    await task.run('npm', ['ci', ...options]);
  } catch (error) {
    if (!(error instanceof SetupError && error.printed.includes('EUSAGE'))) throw error;
    // A lock that was made where the registry had no binaries for other platforms lacks their entries, which npm ci
    // refuses and npm install fills in; the versions are the locked ones either way.
    task.say('npm ci finds package-lock.json incomplete, so npm install, with the versions it names');
    await task.run('npm', ['install', '--no-save', ...options]);
  }
}
