import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config.js';
import { StackError } from './errors.js';

/** The folder of dayfill itself, which holds warehouse/ and dist/; the same from src/stack and from dist/stack. */
export const PACKAGE_DIR = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));

/**
 * The Python of the environment that holds the emulators.
 * @throws StackError when there is none.
 */
export function pythonOf({ venv }: Config): string {
  const python = path.join(venv, 'bin/python');
  if (existsSync(python)) return python;
  throw new StackError(`There is no Python environment at ${venv}: run "npm run setup", or set DAYFILL_VENV.`);
}

export function logFileOf(stateDir: string, service: string): string {
  return path.join(stateDir, 'logs', `${service}.log`);
}
