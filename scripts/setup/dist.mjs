/** dist/: the compiled TypeScript and the workflow bundle. */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { root } from './places.mjs';

export const name = 'Build';

const SOURCES = ['src', 'scripts/build.mjs', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];

/**
 * Compared with the first file of a build, not the last: what changed while it ran may have been missed. A folder's own
 * time counts as well, so that a removed file is noticed.
 */
export function isReady() {
  const built = statSync(path.join(root, 'dist/config.js'), { throwIfNoEntry: false })?.mtimeMs;
  return built !== undefined && SOURCES.every((source) => newestMs(path.join(root, source)) < built);
}

function newestMs(file) {
  const stat = statSync(file);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(file).map((entry) => newestMs(path.join(file, entry))));
}

export async function install(task) {
  task.say('compiling src/ into dist/');
  await task.run(process.execPath, ['scripts/build.mjs']);
}
