import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Bucket } from '@google-cloud/storage';
import pLimit from 'p-limit';
import { isOn } from '../pipeline/step-kinds.js';
import {
  ChecksumError,
  isSame,
  listPartitions,
  type Sent,
  type StoredObject,
  sendPartition,
} from '../warehouse/bucket-partitions.js';
import { isTransientWarehouseError, statusOf, warehouseMessage } from '../warehouse/errors.js';
import { FolderError, type FolderPartition, MANIFEST, readPartitions } from '../warehouse/partitioned-folder.js';
import { placeOf, type StoragePlace, storageClient, urlOf } from '../warehouse/storage.js';
import { type StepContext, StepError, type StepOutput, stepActivity } from './step-activity.js';

/** Partitions sent at once. */
const SENDERS = 8;

type UploadContext = StepContext<'storage/upload'>;

/**
 * Makes the partitions of a bucket what they are in a folder: what is the same is not sent, what differs is replaced as a
 * whole, the manifest last.
 */
export const storageUpload = stepActivity('storage/upload', async (context): Promise<StepOutput> => {
  const { to, dry_run: dryRun = false, manifest_list: list } = context.with;
  const folder = path.resolve(context.cwd, context.with.from);
  const destination = await openDestination(context, to);
  const partitions = await localPartitions(context, folder);
  const existing = await destination.list(partitions);
  for (const { path: place } of partitions) refuseForeign(context, destination.place, existing.get(place));
  const output = isOn(dryRun)
    ? rehearse(context, destination.place, partitions, existing)
    : await send(context, destination, { folder, partitions, existing });
  if (list !== undefined) {
    const file = path.resolve(context.cwd, list);
    const urls = partitions.map(({ path: place }) => urlOf(destination.place, `${place}/${MANIFEST}`));
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, urls.map((url) => `${url}\n`).join(''));
  }
  return output;
});

export interface Destination {
  bucket: Bucket;
  place: StoragePlace;
  /** What the bucket has of these partitions. */
  list(partitions: readonly FolderPartition[]): Promise<Map<string, StoredObject[]>>;
}

/**
 * The bucket that a step names.
 * @throws StepError when the URL is none, or the bucket is not there.
 */
export async function openDestination(
  { deps: { config } }: Pick<StepContext, 'deps'>,
  url: string,
): Promise<Destination> {
  const place = placeOf(url);
  if (place === null) throw new StepError('pipeline', `${url} is not a place in a bucket, such as gs://bucket/prefix.`);
  const bucket = storageClient(config).bucket(place.bucket);
  // An emulator begins empty; real buckets have a location and rights, which are not for a step to choose.
  if (config.storageEndpoint !== null) await classified(place, () => bucket.get({ autoCreate: true }));
  const paths = (partitions: readonly FolderPartition[]) => partitions.map(({ path: name }) => name);
  return {
    bucket,
    place,
    list: (partitions) => classified(place, () => listPartitions(bucket, place, paths(partitions))),
  };
}

/** @throws StepError when the folder is no set of partitions. */
export async function localPartitions({ signal }: Pick<StepContext, 'signal'>, folder: string) {
  try {
    return await readPartitions(folder, signal);
  } catch (error) {
    throw error instanceof FolderError ? new StepError('step_error', error.message) : error;
  }
}

/** A run with other vars is recorded apart, and must not replace what another run is on record for. */
function refuseForeign({ request }: UploadContext, place: StoragePlace, objects: StoredObject[] = []): void {
  const [variant] = request.key.split('/');
  const foreign = objects.find(({ owner }) => owner !== null && owner !== variant);
  if (foreign === undefined) return;
  throw new StepError(
    'pipeline',
    `${urlOf({ ...place, prefix: '' }, foreign.file.name)} was uploaded by ${foreign.owner}, and this is ${variant}: give this run a prefix of its own.`,
  );
}

/** Says what would go. */
function rehearse(
  { log }: UploadContext,
  place: StoragePlace,
  partitions: FolderPartition[],
  existing: Map<string, StoredObject[]>,
): StepOutput {
  const counts = { partitions: partitions.length, files: 0, bytes: 0, skipped: 0 };
  for (const partition of partitions) {
    if (isSame(partition, existing.get(partition.path))) {
      counts.skipped += partition.files.length;
      continue;
    }
    for (const { name, bytes } of partition.files) {
      log.write(`would send ${urlOf(place, `${partition.path}/${name}`)} (${bytes} bytes)`);
      counts.files += 1;
      counts.bytes += bytes;
    }
  }
  log.write(`dry run: ${counts.files} files of ${counts.bytes} bytes would go, ${counts.skipped} are there`);
  return { counts };
}

async function send(
  context: UploadContext,
  { bucket, place, list }: Destination,
  local: { folder: string; partitions: FolderPartition[]; existing: Map<string, StoredObject[]> },
): Promise<StepOutput> {
  const { request, log, signal, heartbeat, lastHeartbeat } = context;
  const { folder, partitions, existing } = local;
  const [variant = ''] = request.key.split('/');
  const sessions = { ...lastHeartbeat.uploads };
  const owner = { pipeline: variant, partition: request.partition.key };
  const total: Sent = { files: 0, bytes: 0, skipped: 0, removed: 0 };
  const stop = new AbortController();
  const limit = pLimit(SENDERS);
  let done = 0;
  const one = async (partition: FolderPartition) => {
    stop.signal.throwIfAborted();
    const options = { bucket, place, folder, owner, sessions, signal: AbortSignal.any([signal, stop.signal]) };
    const sent = await sendPartition(partition, existing.get(partition.path), options);
    for (const name of Object.keys(total) as (keyof Sent)[]) total[name] += sent[name];
    if (sent.files > 0) log.write(`${urlOf(place, partition.path)}: ${sent.files} files, ${sent.bytes} bytes`);
    done += 1;
    heartbeat({ done, total: partitions.length, current: partition.path });
  };
  // Where the uploads in parts go on is told as it changes, not when they end.
  heartbeat({ total: partitions.length, uploads: sessions });
  await classified(place, () =>
    Promise.all(
      partitions.map((partition) =>
        limit(async () => {
          try {
            await one(partition);
          } catch (error) {
            stop.abort(error);
            throw error;
          }
        }),
      ),
    ),
  );
  const after = await list(partitions);
  const wrong = partitions.find((partition) => !isSame(partition, after.get(partition.path)));
  if (wrong !== undefined) {
    throw new StepError(
      'transient',
      `${urlOf(place, wrong.path)} is not what was sent: someone else writes there, or it changed since.`,
    );
  }
  log.write(
    `${partitions.length} partitions: ${total.files} files of ${total.bytes} bytes sent, ${total.skipped} were there`,
  );
  return { counts: { partitions: partitions.length, ...total } };
}

/** What Cloud Storage refuses, as a failure of the step. */
async function classified<T>({ bucket }: StoragePlace, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ChecksumError) throw new StepError('step_error', error.message);
    if (isTransientWarehouseError(error)) throw new StepError('transient', `Cloud Storage: ${warehouseMessage(error)}`);
    const status = statusOf(error);
    if (status === 404)
      throw new StepError('missing_executable', `There is no bucket ${bucket}: make it, or correct its name.`);
    if (status !== undefined)
      throw new StepError('step_error', `Cloud Storage: ${warehouseMessage(error)} (${status})`);
    throw error;
  }
}
