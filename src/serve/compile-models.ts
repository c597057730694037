import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import type { Config } from '../config.js';
import { type CompiledModels, projectSha256 } from './compiled-models.js';
import { type RealtimeProject, realtimeScript, sourcesOf } from './realtime-script.js';
import { ServeStartError } from './start-error.js';

export interface CompileOptions {
  client: string;
  /** Google Cloud project. */
  projectId: string;
  /** BigQuery location of the client's datasets. */
  location: string;
  /** The dbt project. */
  projectDir: string;
  /** Where the result is written. */
  file: string;
}

/** The query parameter that stands for the event; its name is part of what `serve` binds. */
const EVENT_ID = '@event_id';
/** With an emulator's address the profile asks for no credentials; compiling asks the warehouse nothing. */
const NOBODY = 'http://127.0.0.1:9';

const nodeSchema = z.object({
  name: z.string(),
  resource_type: z.string(),
  path: z.string(),
  relation_name: z.string().nullish(),
  compiled_code: z.string().nullish(),
  columns: z.record(z.string(), z.unknown()).default({}),
  depends_on: z.object({ nodes: z.array(z.string()).default([]) }).default({ nodes: [] }),
  config: z.object({
    unique_key: z.union([z.string(), z.array(z.string())]).nullish(),
    materialized: z.string().nullish(),
    meta: z.object({ realtime_delete: z.string().optional() }).default({}),
  }),
  schema: z.string(),
});
const manifestSchema = z.object({ nodes: z.record(z.string(), nodeSchema) });

/**
 * Compiles a client's dbt models for single events, a script for each source that it delivers, and writes them for `dayfill serve`.
 * Needs dbt, and no warehouse.
 * @returns the sources, in order.
 * @throws ServeStartError when dbt can't be run or refuses the project.
 */
export async function compileModels(config: Config, options: CompileOptions): Promise<string[]> {
  const { client, projectId, location, projectDir, file } = options;
  const hash = projectSha256(projectDir);
  const scratch = mkdtempSync(path.join(tmpdir(), 'dayfill-models-'));
  try {
    const project = await compile(config, options, scratch);
    const sources = sourcesOf(project);
    const { schema: dataset } = Object.values(project.nodes).find(({ name }) => name === 'events')!;
    const compiledModels: CompiledModels = {
      ...{ client, project: projectId, location, dataset },
      projectSha256: hash,
      sources: Object.fromEntries(sources.map((source) => [source, { script: realtimeScript(project, source) }])),
    };
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(compiledModels, null, 2) + '\n');
    return sources;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Runs dbt with a target folder of its own, and gives the manifest that it leaves. */
async function compile(config: Config, options: CompileOptions, scratch: string): Promise<RealtimeProject> {
  const { client, projectId, projectDir } = options;
  const vars = { programmatic_client: client, project_id: projectId, realtime_event_id: EVENT_ID };
  const dbt = path.join(config.venv, 'bin', 'dbt');
  if (!existsSync(dbt)) throw new ServeStartError(`There is no ${dbt}: run npm run setup, or set DAYFILL_VENV.`);
  const ran = await execa(
    dbt,
    [
      ...['compile', '--no-introspect', '--no-populate-cache', '--target', 'oauth', '--target-path', scratch],
      ...['--vars', JSON.stringify(vars)],
    ],
    {
      cwd: projectDir,
      env: {
        DAYFILL_BIGQUERY_ENDPOINT: NOBODY,
        DBT_LOG_PATH: path.join(scratch, 'logs'),
        DBT_SEND_ANONYMOUS_USAGE_STATS: 'false',
        DBT_USE_COLORS: 'false',
      },
      reject: false,
      all: true,
    },
  );
  if (ran.exitCode !== 0) throw new ServeStartError(`dbt refused to compile ${projectDir}: ${complaint(ran.all)}`);
  return manifestSchema.parse(JSON.parse(readFileSync(path.join(scratch, 'manifest.json'), 'utf8')));
}

/** What dbt says after its heading of an error, in one line. */
function complaint(output: string): string {
  const lines = output.split('\n').map((line) => line.replace(/^\d\d:\d\d:\d\d\s*/, '').trim());
  const heading = lines.findIndex((line) => /error/i.test(line));
  return lines.slice(Math.max(heading, 0)).filter(Boolean).slice(0, 6).join(' ');
}
