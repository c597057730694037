import { createHash, randomUUID } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff';
import { shown } from '../pipeline/world.js';
import { StateError } from './errors.js';
import type { Healing } from './healed-by.js';

/** A pipeline file and what it is to become. */
export interface YamlFile {
  /** Absolute. */
  path: string;
  before: string;
  after: string;
}

/** The SQL of a remedy. */
export interface SqlFile {
  /** Relative to the pipeline's folder. */
  file: string;
  path: string;
  /** Null for a file that is there. */
  text: string | null;
}

/** The file that the SQL came from, while it still says the same; otherwise one of the remedy's name. */
export function sqlFile(dir: string, { sql, sha256, file }: Healing, remedy: string): SqlFile {
  const from = file === null ? null : path.resolve(dir, file);
  if (from !== null && existsSync(from) && sha256Of(readFileSync(from)) === sha256) {
    return { file: file!, path: from, text: null };
  }
  const own = `fixes/${remedy}.sql`;
  const ownPath = path.join(dir, own);
  if (!existsSync(ownPath)) return { file: own, path: ownPath, text: sql };
  if (readFileSync(ownPath, 'utf8') === sql) return { file: own, path: ownPath, text: null };
  throw new StateError(`${shown(ownPath)} is there with other SQL: give the remedy another name with --id.`);
}

function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** A file whose every byte the text stands for. */
export function readText(file: string): string {
  const bytes = readFileSync(file);
  const text = bytes.toString('utf8');
  if (!Buffer.from(text).equals(bytes)) throw new StateError(`${shown(file)} is not UTF-8: save it so first.`);
  return text;
}

/**
 * The SQL first, which nothing reads until the pipeline file names it; each file at once or not at all.
 * @throws StateError when someone changed the pipeline file meanwhile.
 */
export function writeRemedy(yaml: YamlFile, sql: SqlFile): void {
  const target = realpathSync(yaml.path);
  const next = `${target}.${randomUUID()}`;
  try {
    writeFileSync(next, yaml.after);
    chmodSync(next, statSync(target).mode);
    if (readText(target) !== yaml.before) {
      throw new StateError(`${shown(yaml.path)} was changed meanwhile: nothing was saved; try again.`);
    }
    if (sql.text !== null) writeNew(sql.path, sql.text);
    try {
      renameSync(next, target);
    } catch (error) {
      if (sql.text !== null) rmSync(sql.path);
      throw error;
    }
  } finally {
    rmSync(next, { force: true });
  }
}

/** Writes a file that must not be there. */
function writeNew(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const next = `${file}.${randomUUID()}`;
  try {
    writeFileSync(next, text);
    linkSync(next, file);
  } finally {
    rmSync(next, { force: true });
  }
}

/** A unified diff that `git apply -p0` takes; `before` null for a new file. */
export function unifiedDiff(file: string, before: string | null, after: string): string {
  const name = shown(file);
  return createTwoFilesPatch(before === null ? '/dev/null' : name, name, before ?? '', after, undefined, undefined, {
    headerOptions: FILE_HEADERS_ONLY,
  });
}
