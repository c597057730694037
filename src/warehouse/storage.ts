import { IdempotencyStrategy, Storage } from '@google-cloud/storage';
import type { Config } from '../config.js';

/** Times that a request is tried again, within seconds; after that Temporal tries the step again. */
const RETRIES = 2;

/** A client for the emulator when one is configured, else for the real Cloud Storage with the environment's credentials. */
export function storageClient({ storageEndpoint }: Pick<Config, 'storageEndpoint'>): Storage {
  return new Storage({
    // Every request of ours may be repeated: it writes the same bytes again, or removes what is to be gone.
    retryOptions: { maxRetries: RETRIES, idempotencyStrategy: IdempotencyStrategy.RetryAlways },
    ...(storageEndpoint !== null && { apiEndpoint: storageEndpoint, projectId: 'dayfill-local' }),
  });
}

/** A place in a bucket; `prefix` is empty or ends with "/". */
export interface StoragePlace {
  bucket: string;
  prefix: string;
}

/**
 * Reads `gs://bucket/some/prefix`.
 * @returns null when it is no such URL.
 */
export function placeOf(url: string): StoragePlace | null {
  const [, bucket, rest = ''] = /^gs:\/\/([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])((?:\/[^/\s]+)*)\/?$/.exec(url) ?? [];
  if (bucket === undefined || rest.split('/').some((part) => part === '.' || part === '..')) return null;
  return { bucket, prefix: rest === '' ? '' : `${rest.slice(1)}/` };
}

/** `gs://bucket/name` */
export function urlOf({ bucket, prefix }: StoragePlace, name = ''): string {
  return `gs://${bucket}/${prefix}${name}`;
}
