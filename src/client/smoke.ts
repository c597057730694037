import pLimit from 'p-limit';
import type { BackfillInput } from '../contracts/backfill.js';
import { variantName } from '../contracts/ids.js';
import { urlOf } from '../warehouse/storage.js';
import { UsageError } from './errors.js';
import type { PipelineFiles } from './pipelines.js';
import { objectsOf, storageProblem, uploadPlace } from './verify.js';

/** Objects removed at once. */
const REMOVERS = 16;

/**
 * The trial run of a pipeline: its whole calendar as the vars of `smoke:` make it, recorded apart, in a place of its own.
 * @throws UsageError when the pipeline has no such run, or it would touch the real place.
 */
export function smokeInput(files: PipelineFiles, pipeline: string): BackfillInput {
  const { smoke } = files.pipeline(pipeline);
  if (smoke === null) throw new UsageError(`${pipeline} has no smoke: section; add one to its pipeline.yaml.`);
  const { calendar } = files.pipeline(pipeline, smoke);
  const [real, scratch] = [urlOf(uploadPlace(files, pipeline)), urlOf(uploadPlace(files, pipeline, smoke))];
  if (real.startsWith(scratch) || scratch.startsWith(real)) {
    throw new UsageError(
      `The trial run of ${pipeline} would upload to ${scratch}, and what is real is in ${real}: give smoke: another place.`,
    );
  }
  const range = { from: calendar.start, to: calendar.end! };
  return { pipeline, ...range, vars: smoke, force: true, onFailure: 'stop', reason: 'smoke test' };
}

/**
 * Removes what a trial run has uploaded, and nothing else.
 * @returns how many objects were removed, and how many of others are left.
 */
export async function removeSmoke(files: PipelineFiles, { pipeline, vars }: BackfillInput) {
  const place = uploadPlace(files, pipeline, vars);
  const objects = await objectsOf(files, place);
  const variant = variantName(pipeline, vars);
  const ours = objects.filter(({ metadata }) => metadata.metadata?.dayfill_pipeline === variant);
  const limit = pLimit(REMOVERS);
  try {
    await Promise.all(ours.map((object) => limit(() => object.delete({ ignoreNotFound: true }))));
  } catch (error) {
    throw storageProblem(error, place);
  }
  return { place: urlOf(place), removed: ours.length, left: objects.length - ours.length };
}
