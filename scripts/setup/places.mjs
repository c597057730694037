/** Where setup finds things and puts them. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));

/** What belongs to this checkout, whatever state folder is in use: the Temporal binary, tools, setup's lock. */
export const toolsDir = path.join(root, '.dayfill');

const stateDir = path.resolve(process.env.DAYFILL_STATE_DIR || path.join(root, '.dayfill'));

/** The Python environment, by the same rule as src/config.ts. */
export const venv = path.resolve(process.env.DAYFILL_VENV || path.join(stateDir, 'venv'));

/** A path as a reader in the checkout would type it. */
export const shown = (file) => (file.startsWith(root + path.sep) ? path.relative(root, file) : file);
