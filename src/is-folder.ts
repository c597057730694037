import { statSync } from 'node:fs';

/** Whether there is a folder of this name. */
export function isFolder(name: string): boolean {
  return statSync(name, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
