import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { PROJECT_ID } from '../contracts/ids.js';
import { ServeStartError } from './start-error.js';

/** Folders of a dbt project that decide what its models come to; tests do not. */
const FOLDERS = ['models', 'macros', 'analyses', 'seeds'];
const PROJECT_FILE = 'dbt_project.yml';

// Names are put between backquotes in SQL: nothing may close them.
const compiledModelsSchema = z.object({
  client: z.string(),
  project: z.string().regex(PROJECT_ID, 'expected a Google Cloud project'),
  location: z.string().regex(/^[A-Za-z][A-Za-z0-9-]*$/, 'expected a BigQuery location'),
  dataset: z.string().regex(/^\w+$/, 'expected a BigQuery dataset'),
  projectSha256: z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 in hex'),
  sources: z.record(z.string(), z.object({ script: z.string().min(1) })),
});

/** The models of a client, compiled for single events: one script per source, with parameters `@event_id` and `@source`. */
export type CompiledModels = z.output<typeof compiledModelsSchema>;

export interface CompiledModelsPlace {
  client: string;
  /** The file that `dayfill compile-models` wrote. */
  file: string;
  /** The dbt project that it was compiled from. */
  projectDir: string;
}

/**
 * Reads the compiled models of a client.
 * @throws ServeStartError when they are not there, not usable, or older than the dbt project.
 */
export function loadCompiledModels({ client, file, projectDir }: CompiledModelsPlace): CompiledModels {
  const models = parsed(file, read(file));
  if (models.client !== client) {
    throw new ServeStartError(
      `${file} has the models of ${models.client}, not of ${client}: name the right file with --models, or the client with --client.`,
    );
  }
  if (models.projectSha256 !== projectSha256(projectDir)) {
    throw new ServeStartError(
      `The dbt project ${projectDir} has changed since ${file} was compiled: run dayfill compile-models again.`,
    );
  }
  return models;
}

/**
 * SHA-256, in hex, of the files of a dbt project that its models are made of, wherever the project is.
 * @throws ServeStartError when there is no dbt project.
 */
export function projectSha256(directory: string): string {
  if (!existsSync(path.join(directory, PROJECT_FILE))) {
    throw new ServeStartError(`There is no dbt project at ${directory}: name it with --project-dir.`);
  }
  const files = [PROJECT_FILE, ...FOLDERS.flatMap((folder) => filesOf(directory, folder))].sort();
  const hash = createHash('sha256');
  for (const file of files) {
    const content = createHash('sha256').update(readFileSync(path.join(directory, file)));
    hash.update(`${file}\0${content.digest('hex')}\n`);
  }
  return hash.digest('hex');
}

/** With "/" on every system. */
function filesOf(directory: string, folder: string): string[] {
  if (!existsSync(path.join(directory, folder))) return [];
  return readdirSync(path.join(directory, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(folder, name))
    .filter((name) => statSync(path.join(directory, name)).isFile())
    .map((name) => name.replaceAll(path.sep, '/'));
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new ServeStartError(
      `There are no compiled models at ${file}: run dayfill compile-models, or name them with --models.`,
    );
  }
}

function parsed(file: string, text: string): CompiledModels {
  try {
    return compiledModelsSchema.parse(JSON.parse(text));
  } catch (error) {
    const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
    const why = issue === undefined ? 'it is not JSON' : `${issue.path.join('.')}: ${issue.message}`;
    throw new ServeStartError(`${file} has no compiled models (${why}): run dayfill compile-models again.`);
  }
}
