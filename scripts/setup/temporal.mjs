/** The Temporal binary, whose dev server the embedded stack runs. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { shown, toolsDir } from './places.mjs';
import { probe, SetupError } from './task.mjs';

export const name = 'Temporal';

export const VERSION = 'v1.5.1';
const DOWNLOAD_LIMIT_MS = 20_000;
const binary = path.join(toolsDir, 'bin/temporal');

export async function isReady() {
  return existsSync(binary) || isUsable(await probe('temporal', ['--version']));
}

/** True from CLI 1.4; one built by `go install` calls itself 0.0.0-DEV and is told by its server, 1.28 with CLI 1.4. */
export function isUsable(printed) {
  const [, major, minor] = /^temporal version (\d+)\.(\d+)/m.exec(printed ?? '') ?? [];
  const [, serverMajor, serverMinor] = /Server (\d+)\.(\d+)/.exec(printed ?? '') ?? [];
  const atLeast = (a, b, wantedA, wantedB) => Number(a) > wantedA || (Number(a) === wantedA && Number(b) >= wantedB);
  return atLeast(major, minor, 1, 4) || atLeast(serverMajor, serverMinor, 1, 28);
}

/** Both ways put the binary in a folder of their own first: what is in bin/ is whole. */
export async function install(task) {
  const folder = path.join(toolsDir, `temporal.${process.pid}`);
  mkdirSync(folder, { recursive: true });
  try {
    const made = (await download(task, folder)) ?? (await goInstall(task, folder));
    mkdirSync(path.dirname(binary), { recursive: true });
    renameSync(made, binary);
    task.say(`put into ${shown(binary)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function download(task, folder) {
  task.say(`downloading ${VERSION}`);
  const script = fileURLToPath(new URL('download-temporal.mjs', import.meta.url));
  try {
    await task.run(process.execPath, [script, folder, VERSION], { timeoutMs: DOWNLOAD_LIMIT_MS });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return null;
  }
  const files = readdirSync(folder).map((file) => path.join(folder, file));
  return files.find((file) => statSync(file).isFile() && (statSync(file).mode & 0o100) !== 0) ?? null;
}

async function goInstall(task, folder) {
  if (!(await probe('go', ['version']))) {
    throw new SetupError(
      'The Temporal binary could not be had: put "temporal" 1.4 or later on the PATH, or let this machine reach temporal.download, or install Go 1.24 or later so that it can be built.',
    );
  }
  task.say(`no download here, so building ${VERSION} with Go (about three minutes the first time)`);
  await task.run('go', ['install', `github.com/temporalio/cli/cmd/temporal@${VERSION}`], { env: { GOBIN: folder } });
  return path.join(folder, 'temporal');
}
