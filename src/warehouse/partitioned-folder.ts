import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import pLimit from 'p-limit';

/** What makes a folder a partition: it comes last, and without it the partition is not there. */
export const MANIFEST = '_MANIFEST.json';

/** Files read at once. */
const READERS = 4;

export interface StoredFile {
  /** Within its partition. */
  name: string;
  bytes: number;
  /** Base64, as Cloud Storage has it. */
  md5: string;
  /** Of a manifest: its `content_sha256`, which is equal for equal partitions; null without one. */
  content: string | null;
}

/** A folder with a manifest, such as `orders/ingest_dt=2020-01-01`. */
export interface FolderPartition {
  /** Relative, with "/" between its parts. */
  path: string;
  /** By name, the manifest last. */
  files: StoredFile[];
}

/** A folder that is no set of partitions; the message is one sentence. */
export class FolderError extends Error {
  override name = 'FolderError';
}

/**
 * The partitions under a folder, by path, each file read once for its checksum.
 * @throws FolderError when the folder is missing or empty, or files lie where there is no manifest.
 */
export async function readPartitions(folder: string, signal: AbortSignal): Promise<FolderPartition[]> {
  const found = await filesByFolder(folder);
  if (found.size === 0)
    throw new FolderError(`There is nothing in ${folder}: the export before it left no partitions.`);
  const limit = pLimit(READERS);
  const paths = [...found.keys()].sort();
  if (found.get('')?.includes(MANIFEST) === true) {
    throw new FolderError(`${folder} is itself a partition: name the folder that its table is in.`);
  }
  for (const place of paths) {
    if (found.get(place)!.includes(MANIFEST)) continue;
    throw new FolderError(`${path.join(folder, place)} has files but no ${MANIFEST}: the export did not finish it.`);
  }
  return Promise.all(
    paths.map(async (place) => {
      const names = found.get(place)!.sort(manifestLast);
      const files = names.map((name) => limit(() => storedFile(path.join(folder, place), name, signal)));
      return { path: place, files: await Promise.all(files) };
    }),
  );
}

export function manifestLast(a: string, b: string): number {
  return Number(a === MANIFEST) - Number(b === MANIFEST) || (a < b ? -1 : 1);
}

/** Names of the files in each folder that has any. What begins with "." is left out, and folders that begin with "_". */
async function filesByFolder(root: string, place = '', found = new Map<string, string[]>()) {
  const entries = await readdir(path.join(root, place), { withFileTypes: true }).catch((error) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const files = entries.filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.')).map(({ name }) => name);
  if (files.length > 0) found.set(place, files);
  for (const { name } of entries.filter((entry) => entry.isDirectory() && !/^[._]/.test(entry.name))) {
    await filesByFolder(root, path.posix.join(place, name), found);
  }
  return found;
}

async function storedFile(folder: string, name: string, signal: AbortSignal): Promise<StoredFile> {
  const hash = createHash('md5');
  let bytes = 0;
  await pipeline(
    createReadStream(path.join(folder, name)),
    async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        hash.update(chunk);
      }
    },
    { signal },
  );
  return { name, bytes, md5: hash.digest('base64'), content: name === MANIFEST ? await contentOf(folder) : null };
}

async function contentOf(folder: string): Promise<string | null> {
  try {
    const { content_sha256: content } = JSON.parse(await readFile(path.join(folder, MANIFEST), 'utf8'));
    return typeof content === 'string' ? content : null;
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new FolderError(`${path.join(folder, MANIFEST)} is not JSON: export it again.`);
    throw error;
  }
}
