import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { isOn } from '../pipeline/step-kinds.js';
import { isSame } from '../warehouse/bucket-partitions.js';
import { urlOf } from '../warehouse/storage.js';
import { type StepContext, StepError, type StepOutput, stepActivity } from './step-activity.js';
import { localPartitions, openDestination } from './storage-upload.js';

type CleanupContext = StepContext<'storage/cleanup'>;

/** Removes folders from this machine once all that is in `from` is in the bucket with its very bytes. */
export const storageCleanup = stepActivity('storage/cleanup', async (context): Promise<StepOutput> => {
  const { cwd, log } = context;
  if (isOn(context.with.keep) || isOn(context.with.dry_run)) {
    log.write('kept, as asked');
    return { counts: { removed: 0 } };
  }
  const from = path.resolve(cwd, context.with.from);
  const others = context.with.remove.map((folder) => path.resolve(cwd, folder));
  // Its name says that it was found in the bucket: an attempt that was cut off in the middle of it is gone on with.
  const verified = `${from}.uploaded`;
  if (![from, verified, ...others].some(existsSync)) return { counts: { removed: 0 } };
  if (existsSync(from)) {
    await requireUploaded(context, from);
    await rm(verified, { recursive: true, force: true });
    await rename(from, verified);
  } else if (!existsSync(verified)) {
    throw new StepError('step_error', `Nothing was removed: ${from} is not there to be compared with the bucket.`);
  }
  for (const folder of [...others, verified]) {
    await rm(folder, { recursive: true, force: true });
    log.write(`removed ${folder}`);
  }
  return { counts: { removed: others.length + 1 } };
});

async function requireUploaded(context: CleanupContext, folder: string): Promise<void> {
  const partitions = await localPartitions(context, folder);
  const destination = await openDestination(context, context.with.to);
  const objects = await destination.list(partitions);
  const [missing, ...more] = partitions.filter((partition) => !isSame(partition, objects.get(partition.path)));
  if (missing === undefined) return;
  const others = more.length === 0 ? '' : `, nor are ${more.length} more`;
  throw new StepError(
    'step_error',
    `Nothing was removed: ${urlOf(destination.place, missing.path)} is not in the bucket as it is here${others}; upload it first.`,
  );
}
