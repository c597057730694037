import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { StackError } from './errors.js';
import { PACKAGE_DIR } from './places.js';

/**
 * The Temporal binary: the one that setup installed, else the one on the PATH.
 * @throws StackError when there is neither.
 */
export function findTemporal(): string {
  const folders = [path.join(PACKAGE_DIR, '.dayfill/bin'), ...(process.env.PATH ?? '').split(path.delimiter)];
  const found = folders.map((folder) => path.join(folder, 'temporal')).find(isExecutable);
  if (found !== undefined) return found;
  throw new StackError('The Temporal binary is missing: run "npm run setup", or put "temporal" on the PATH.');
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
