import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { PartitionBounds } from '../contracts/step.js';

/** The token of the hand-made scripts that dayfill replaces; new files use `@partition`. */
const LEGACY_DATE = /PLACEHOLDER_DATE/g;

/**
 * The text of a SQL file of a pipeline's folder, with the legacy token replaced.
 * @throws when it cannot be read.
 */
export async function readSql(pipelineDir: string, file: string, partition: PartitionBounds): Promise<string> {
  const text = await readFile(path.resolve(pipelineDir, file), 'utf8');
  return text.replace(LEGACY_DATE, partition.start);
}
