import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { File } from '@google-cloud/storage';
import pLimit from 'p-limit';
import { z } from 'zod';
import type { Vars } from '../contracts/ids.js';
import { effectiveVars, renderVerify } from '../pipeline/render.js';
import { isTransientWarehouseError, statusOf, warehouseMessage } from '../warehouse/errors.js';
import { placeOf, type StoragePlace, storageClient, urlOf } from '../warehouse/storage.js';
import { StateError, UsageError } from './errors.js';
import type { PipelineFiles } from './pipelines.js';

/** Objects copied at once. */
const READERS = 16;
/** What the disk must have left beside the copy. */
const RESERVE_BYTES = 100 * 1024 * 1024;
/** A report that names every partition of six years is some megabytes long. */
const MAX_REPORT_BYTES = 256 * 1024 * 1024;

/** What the program of `verify:` prints. */
const reportSchema = z.object({
  ok: z.boolean(),
  tables: z.array(
    z.object({
      table: z.string(),
      partitions: z.number(),
      expectedPartitions: z.number().nullable(),
      rows: z.number(),
      bytes: z.number(),
    }),
  ),
  checks: z.array(z.object({ check: z.string(), problems: z.number() })),
  problems: z.array(
    z.object({
      check: z.string(),
      message: z.string(),
      partition: z.string().nullish(),
      file: z.string().nullish(),
      chunk: z.string().nullish(),
    }),
  ),
  chunksToRunAgain: z.array(z.string()),
  objects: z.number(),
  footprintBytes: z.number(),
});

/** What was found in a place, by the program that the pipeline's `verify:` names. */
export type VerifyReport = { pipeline: string; place: string } & z.output<typeof reportSchema>;

export interface VerifyOptions {
  vars?: Vars | undefined;
  /** Hears what is to be copied before it is. */
  onCopy(objects: number, bytes: number): void;
  signal: AbortSignal;
}

/**
 * Checks what a pipeline has uploaded: copies it to this machine, has the pipeline's own program check it, and removes the copy.
 * @throws UsageError for a pipeline without `verify:`, StateError when it cannot be checked.
 */
export async function verifyUploads(
  files: PipelineFiles,
  pipeline: string,
  { vars, onCopy, signal }: VerifyOptions,
): Promise<VerifyReport> {
  const { config } = files;
  const place = uploadPlace(files, pipeline, vars);
  const objects = await objectsOf(files, place);
  const bytes = objects.reduce((sum, { metadata }) => sum + Number(metadata.size), 0);
  await mkdir(config.stateDir, { recursive: true });
  const { bavail, bsize } = await statfs(config.stateDir);
  if (bytes + RESERVE_BYTES > bavail * bsize) {
    throw new StateError(
      `${urlOf(place)} holds ${bytes} bytes, and ${config.stateDir} has no room for a copy: set DAYFILL_STATE_DIR to a larger disk.`,
    );
  }
  onCopy(objects.length, bytes);
  const folder = await mkdtemp(path.join(config.stateDir, 'verify-'));
  try {
    await copy(objects, place, folder, signal);
    const definition = files.pipeline(pipeline, vars);
    const { run, cwd } = renderVerify(definition, vars, folder)!;
    const report = await reportOf(run, { cwd: path.resolve(definition.dir, cwd ?? '.'), venv: config.venv, signal });
    return { pipeline, place: urlOf(place), ...report };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * The place that a pipeline's `verify:` names.
 * @throws UsageError when there is none.
 */
export function uploadPlace(files: PipelineFiles, pipeline: string, vars?: Vars): StoragePlace {
  const definition = files.pipeline(pipeline, vars);
  effectiveVars(definition, vars);
  const rendered = renderVerify(definition, vars, '');
  if (rendered === null) {
    throw new UsageError(
      `${pipeline} has no verify: section, so nobody knows what it uploads; add one to its pipeline.yaml.`,
    );
  }
  const place = placeOf(rendered.from);
  if (place === null) throw new UsageError(`${rendered.from} is not a place in a bucket, such as gs://bucket/prefix.`);
  return place;
}

/** Everything in a place. */
export async function objectsOf({ config }: Pick<PipelineFiles, 'config'>, place: StoragePlace): Promise<File[]> {
  try {
    return (await storageClient(config).bucket(place.bucket).getFiles({ prefix: place.prefix }))[0];
  } catch (error) {
    throw storageProblem(error, place);
  }
}

/** One sentence for what keeps from reading or changing a bucket. */
export function storageProblem(error: unknown, place: StoragePlace): unknown {
  if (statusOf(error) === 404)
    return new StateError(`There is no bucket ${place.bucket}: nothing was uploaded there yet.`);
  if (isTransientWarehouseError(error)) {
    return new StateError('Cloud Storage does not answer: start the stack with "dayfill stack up", or try again.');
  }
  return statusOf(error) === undefined ? error : new StateError(`${urlOf(place)}: ${warehouseMessage(error)}`);
}

async function copy(objects: File[], place: StoragePlace, folder: string, signal: AbortSignal): Promise<void> {
  const limit = pLimit(READERS);
  const copied = objects.map((object) =>
    limit(async () => {
      signal.throwIfAborted();
      const target = path.resolve(folder, object.name.slice(place.prefix.length));
      // Names are whatever someone gave; one that leads out of the folder is none of ours.
      if (!target.startsWith(folder + path.sep) || object.name.endsWith('/')) return;
      await mkdir(path.dirname(target), { recursive: true });
      // Whether it is as it should be is for the program to say.
      await object.download({ destination: target, validation: false });
    }),
  );
  try {
    await Promise.all(copied);
  } catch (error) {
    limit.clearQueue();
    await Promise.allSettled(copied);
    throw storageProblem(error, place);
  }
}

async function reportOf(
  [program, ...args]: string[],
  { cwd, venv, signal }: { cwd: string; venv: string; signal: AbortSignal },
): Promise<z.output<typeof reportSchema>> {
  const env = { ...process.env, PATH: [path.join(venv, 'bin'), process.env.PATH].join(path.delimiter) };
  const { stdout, said } = await new Promise<{ stdout: string; said: string }>((resolve) => {
    execFile(program!, args, { cwd, env, signal, maxBuffer: MAX_REPORT_BYTES }, (error, stdout, stderr) => {
      resolve({ stdout, said: stderr.trim().split('\n').at(-1) || (error?.message ?? '') });
    });
  });
  signal.throwIfAborted();
  try {
    return reportSchema.parse(JSON.parse(stdout));
  } catch {
    throw new StateError(`The program of verify:, ${program}, printed no report as JSON. ${said}`.trim());
  }
}
