/** The Python environment of warehouse/requirements.lock, which the emulators, Dagster and dbt run in. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root, shown, toolsDir, venv } from './places.mjs';
import { probe, SetupError } from './task.mjs';

export const name = 'Python packages';

const UV = 'uv==0.13.8';
const CANDIDATES = ['python3.12', 'python3.11', 'python3.13', 'python3', 'python'];
const lock = path.join(root, 'warehouse/requirements.lock');
const python = path.join(venv, 'bin/python');
/** Written last, with the hash of the lock that is installed. */
const stamp = path.join(venv, 'dayfill-lock.sha256');

const lockHash = () => createHash('sha256').update(readFileSync(lock)).digest('hex');

/** A folder that someone names by DAYFILL_VENV, and that setup didn't make, is theirs: it is never changed. */
const isSomeoneElses = () => Boolean(process.env.DAYFILL_VENV) && existsSync(venv) && !existsSync(stamp);

export function isReady() {
  if (isSomeoneElses() && existsSync(python)) return true;
  return existsSync(python) && existsSync(stamp) && readFileSync(stamp, 'utf8') === lockHash();
}

export async function install(task) {
  if (isSomeoneElses()) {
    throw new SetupError(
      `DAYFILL_VENV is ${venv}, which holds no Python environment: name one, or a folder that is not there yet, or unset it.`,
    );
  }
  const base = await findPython();
  task.say(`making ${shown(venv)} with Python ${base.version} (about 200 packages)`);
  try {
    await installWithUv(task, base.command);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    // uv doesn't know pip's own settings (a company's index, for instance), so where it fails, pip may not.
    task.say('uv could not do it, trying pip, which takes some minutes');
    await installWithPip(task, base.command, error);
  }
  writeFileSync(stamp, lockHash());
}

/** The first Python of a version that the locked packages are made for; a name on PATH may be an empty shim, so it is run. */
async function findPython() {
  const found = [];
  for (const command of CANDIDATES) {
    const version = (await probe(command, ['-c', 'import platform; print(platform.python_version())']))?.trim();
    if (!version) continue;
    const [major, minor] = version.split('.').map(Number);
    if (major === 3 && minor >= 11 && minor <= 13) return { command, version };
    found.push(version);
  }
  const have = found.length > 0 ? `only ${[...new Set(found)].join(', ')}` : 'none';
  throw new SetupError(
    `Python 3.11, 3.12 or 3.13 is needed and ${have} is on the PATH: install one, or set DAYFILL_VENV to an environment with warehouse/requirements.lock.`,
  );
}

/** Makes place for a new environment, whatever a broken one left behind; the stamp says from the start that it is ours. */
function makePlace() {
  rmSync(venv, { recursive: true, force: true });
  mkdirSync(venv, { recursive: true });
  writeFileSync(stamp, 'unfinished');
}

async function installWithUv(task, base) {
  const uv = await findUv(task, base);
  // The machine's own certificates, as pip uses them, so that a company's proxy is trusted.
  const env = { UV_SYSTEM_CERTS: 'true', UV_LINK_MODE: process.env.UV_LINK_MODE ?? 'copy' };
  makePlace();
  await task.run(uv, ['venv', '--allow-existing', '--no-project', '--python', base, venv], { env });
  const options = ['--require-hashes', '--no-config', '--compile-bytecode', '--python', python];
  await task.run(uv, ['pip', 'install', ...options, '--requirement', lock], { env });
}

/** uv as the machine has it, else from the package index into an environment of its own. */
async function findUv(task, base) {
  if (await probe('uv', ['--version'])) return 'uv';
  const tools = path.join(toolsDir, 'tools');
  const uv = path.join(tools, 'bin/uv');
  if (await probe(uv, ['--version'])) return uv;
  await task.run(base, ['-m', 'venv', '--clear', tools]);
  await task.run(path.join(tools, 'bin/python'), ['-m', 'pip', 'install', '--quiet', UV]);
  return uv;
}

async function installWithPip(task, base, uvError) {
  try {
    makePlace();
    await task.run(base, ['-m', 'venv', venv]);
    await task.run(python, ['-m', 'pip', 'install', '--quiet', '--require-hashes', '--requirement', lock]);
  } catch (error) {
    throw new SetupError(
      `The Python packages could not be installed; check the network and that "${base} -m venv" works (on Debian: apt install python3-venv).\nWith uv: ${uvError.message}\nWith pip: ${error.message}`,
    );
  }
}
