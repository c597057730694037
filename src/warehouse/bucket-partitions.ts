import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Bucket, File } from '@google-cloud/storage';
import { ignoringNotFound, isTransientWarehouseError } from './errors.js';
import { type FolderPartition, MANIFEST, type StoredFile } from './partitioned-folder.js';
import { type StoragePlace, urlOf } from './storage.js';

/** Files from this size on are sent in parts, and an upload that was cut off goes on where it was. */
const RESUMABLE_BYTES = 8 * 1024 * 1024;
/** A multiple of 256 KiB, as Cloud Storage wants it. */
const PART_BYTES = 8 * 1024 * 1024;

/** An object of a partition, by its name within it. */
export interface StoredObject extends StoredFile {
  file: File;
  /** Whether it is as it was when we sent it. */
  intact: boolean;
  /** Who put it there: the variant name of a pipeline; null when someone else did. */
  owner: string | null;
}

/**
 * What a bucket has, by partition path.
 * @param paths only partitions between the least and the greatest of these; all under the prefix without.
 */
export async function listPartitions(
  bucket: Bucket,
  { prefix }: StoragePlace,
  paths?: readonly string[],
): Promise<Map<string, StoredObject[]>> {
  const found = new Map<string, StoredObject[]>();
  for (const query of paths === undefined ? [{ prefix }] : listings(prefix, paths)) {
    const [files] = await bucket.getFiles(query);
    for (const file of files) {
      const { dir, base } = path.posix.parse(file.name.slice(prefix.length));
      const { size, md5Hash, metadata } = file.metadata;
      const object: StoredObject = {
        name: base,
        bytes: Number(size),
        md5: md5Hash ?? '',
        content: textOf(metadata?.[CONTENT]),
        file,
        intact: textOf(metadata?.[SENT_MD5]) === md5Hash,
        owner: textOf(metadata?.[OWNER]),
      };
      found.set(dir, [...(found.get(dir) ?? []), object]);
    }
  }
  return found;
}

/** What each object of ours says of itself. */
const OWNER = 'dayfill_pipeline';
const PARTITION = 'dayfill_partition';
const SENT_MD5 = 'dayfill_md5';
const CONTENT = 'dayfill_content';

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** One listing for each table, from its first partition to its last: a bucket of years holds more than a chunk asks for. */
function listings(
  prefix: string,
  paths: readonly string[],
): { prefix: string; startOffset: string; endOffset: string }[] {
  const tables = new Map<string, string[]>();
  for (const place of paths) {
    const table = place.split('/')[0]!;
    tables.set(table, [...(tables.get(table) ?? []), place]);
  }
  return [...tables].map(([table, places]) => {
    const sorted = places.sort();
    return {
      prefix: `${prefix}${table}/`,
      startOffset: `${prefix}${sorted[0]}/`,
      // "0" comes right after "/": the end of everything in the last partition.
      endOffset: `${prefix}${sorted.at(-1)}0`,
    };
  });
}

/** Whether every file is there with its very bytes, and nothing else. */
export function isSame({ files }: FolderPartition, objects: readonly StoredObject[] = []): boolean {
  return files.length === objects.length && files.every((file) => hasSame(objects, file));
}

/** A manifest of the same content is the same, whenever it was written. */
function hasSame(objects: readonly StoredObject[], { name, bytes, md5, content }: StoredFile): boolean {
  const object = objects.find((candidate) => candidate.name === name);
  if (object === undefined) return false;
  return (
    (object.bytes === bytes && object.md5 === md5) || (content !== null && content === object.content && object.intact)
  );
}

export interface Sent {
  files: number;
  bytes: number;
  /** Files that were there already. */
  skipped: number;
  /** Objects that no longer belong to the partition. */
  removed: number;
}

export interface SendOptions {
  bucket: Bucket;
  place: StoragePlace;
  /** Absolute. */
  folder: string;
  /** Written to each object. */
  owner: { pipeline: string; partition: string };
  signal: AbortSignal;
  /** Uploads in parts that are under way, by object name: where they go on. */
  sessions: Record<string, string>;
}

/**
 * Makes a partition of the bucket what it is in the folder. Until its manifest is there again, which comes last, the
 * partition is not there; what an attempt that was cut off has sent is not sent again.
 * @param objects what the bucket has of it.
 * @throws ChecksumError when an object is not what was sent.
 */
export async function sendPartition(
  partition: FolderPartition,
  objects: readonly StoredObject[] = [],
  options: SendOptions,
): Promise<Sent> {
  const sent: Sent = { files: 0, bytes: 0, skipped: 0, removed: 0 };
  if (isSame(partition, objects)) return { ...sent, skipped: partition.files.length };
  const manifest = objects.find(({ name }) => name === MANIFEST);
  if (manifest !== undefined) await ignoringNotFound(manifest.file.delete());
  const stale = objects.filter(({ name }) => name !== MANIFEST && !partition.files.some((file) => file.name === name));
  for (const { file } of stale) await ignoringNotFound(file.delete());
  sent.removed = stale.length;
  for (const file of partition.files) {
    options.signal.throwIfAborted();
    if (file.name !== MANIFEST && hasSame(objects, file)) {
      sent.skipped += 1;
      continue;
    }
    await send(partition.path, file, options);
    sent.files += 1;
    sent.bytes += file.bytes;
  }
  return sent;
}

/** An object whose checksum is not that of the file; the message is one sentence. */
export class ChecksumError extends Error {
  override name = 'ChecksumError';
}

async function send(partition: string, { name, bytes, md5, content }: StoredFile, options: SendOptions): Promise<void> {
  const { bucket, place, folder, owner, signal, sessions } = options;
  const object = bucket.file(`${place.prefix}${path.posix.join(partition, name)}`);
  const local = path.join(folder, partition, name);
  // Cloud Storage compares the checksum with what it got, and refuses another.
  const metadata = {
    md5Hash: md5,
    contentType: name.endsWith('.json') ? 'application/json' : 'application/octet-stream',
    metadata: {
      [OWNER]: owner.pipeline,
      [PARTITION]: owner.partition,
      [SENT_MD5]: md5,
      ...(content !== null && { [CONTENT]: content }),
    },
  };
  if (bytes < RESUMABLE_BYTES) {
    await object.save(await readFile(local), { resumable: false, validation: false, metadata });
  } else {
    await sendInParts(object, local, { metadata, signal, sessions });
  }
  const { size, md5Hash } = object.metadata;
  if (md5Hash !== md5 || Number(size) !== bytes) {
    throw new ChecksumError(
      `${urlOf(place, path.posix.join(partition, name))} has checksum ${md5Hash} and ${size} bytes, the file ${md5} and ${bytes}: it changed while it was sent.`,
    );
  }
}

async function sendInParts(
  object: File,
  local: string,
  { metadata, signal, sessions }: { metadata: object; signal: AbortSignal } & Pick<SendOptions, 'sessions'>,
): Promise<void> {
  const begun = sessions[object.name];
  const uri = begun ?? (await object.createResumableUpload({ metadata }))[0];
  sessions[object.name] = uri;
  try {
    await pipeline(
      createReadStream(local),
      object.createWriteStream({
        ...{ resumable: true, uri, chunkSize: PART_BYTES, validation: false, metadata },
        // One that was taken over is asked how far it came.
        ...(begun === undefined && { offset: 0 }),
      }),
      { signal },
    );
  } catch (error) {
    // One that was taken over may have ended, as they do after a week, or be further on than its sender knew.
    if (begun === undefined || signal.aborted || isTransientWarehouseError(error)) throw error;
    delete sessions[object.name];
    return sendInParts(object, local, { metadata, signal, sessions });
  }
  delete sessions[object.name];
}
