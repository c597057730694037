/** The Temporal binary, whose dev server the embedded stack runs. */
import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { shown, toolsDir } from './places.mjs';
import { probe, SetupError } from './task.mjs';

export const name = 'Temporal';

export const VERSION = 'v1.5.1';
/** Where Temporal's SDK downloads from. */
const DOWNLOADS = 'https://temporal.download';
const REACH_LIMIT_MS = 5_000;
const DOWNLOAD_LIMIT_MS = 20_000;
const binary = path.join(toolsDir, 'bin/temporal');
/** Written last, with the version that is installed. */
const stamp = path.join(toolsDir, 'bin/temporal.version');
/** Kept for every checkout of this user: to build it takes minutes. */
const cached = path.join(
  process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'),
  `dayfill/temporal-${VERSION}-${process.platform}-${process.arch}`,
);

export async function isReady() {
  const isOurs = existsSync(binary) && existsSync(stamp) && readFileSync(stamp, 'utf8') === VERSION;
  return isOurs || isUsable(await probe('temporal', ['--version']));
}

/** True from CLI 1.4; one built by `go install` calls itself 0.0.0-DEV and is told by its server, 1.28 with CLI 1.4. */
export function isUsable(printed) {
  const [, major, minor] = /^temporal version (\d+)\.(\d+)/m.exec(printed ?? '') ?? [];
  const [, serverMajor, serverMinor] = /Server (\d+)\.(\d+)/.exec(printed ?? '') ?? [];
  const atLeast = (a, b, wantedA, wantedB) => Number(a) > wantedA || (Number(a) === wantedA && Number(b) >= wantedB);
  return atLeast(major, minor, 1, 4) || atLeast(serverMajor, serverMinor, 1, 28);
}

/** Needs no Node packages where there is one kept, or nothing to download from; else `nodePackages` tells when they are there. */
export async function install(task, nodePackages) {
  if (isUsable(await probe(cached, ['--version']))) {
    task.say(`taking ${VERSION} from ${cached}`);
    put(cached, binary);
  } else {
    await make(task, (await mayDownload()) && (await nodePackages));
  }
  writeFileSync(stamp, VERSION);
  task.say(`put into ${shown(binary)}`);
}

/** By download or build, into a folder of its own first. */
async function make(task, withDownload) {
  const folder = path.join(toolsDir, `temporal.${process.pid}`);
  mkdirSync(folder, { recursive: true });
  try {
    const made = (withDownload && (await download(task, folder))) || (await goInstall(task, folder));
    put(made, binary);
    try {
      put(made, cached);
    } catch (error) {
      task.say(`it cannot be kept for other checkouts: ${error.message}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What is there under its name is whole. */
function put(made, place) {
  const fresh = `${place}.${process.pid}`;
  mkdirSync(path.dirname(place), { recursive: true });
  copyFileSync(made, fresh, constants.COPYFILE_FICLONE);
  renameSync(fresh, place);
}

/** Behind a proxy, which Node does not use by itself, only a try will tell. */
function mayDownload() {
  if (process.env.HTTPS_PROXY || process.env.https_proxy) return true;
  return fetch(DOWNLOADS, { method: 'HEAD', signal: AbortSignal.timeout(REACH_LIMIT_MS) }).then(
    () => true,
    () => false,
  );
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
