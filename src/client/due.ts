import type { AddInput, BackfillInput } from '../contracts/backfill.js';
import type { SourceChanges } from '../contracts/freshness.js';
import { type Vars, variantName } from '../contracts/ids.js';
import { boundsOf, firstPartition, partitionsOver, spanOf } from '../pipeline/calendar.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { type Due, duePartitions } from '../pipeline/due.js';
import { PartitionError, PipelineError } from '../pipeline/errors.js';
import { renderFreshness } from '../pipeline/render.js';
import { underWayIn } from '../pipeline/under-way.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { FreshnessError, sourceChanges } from '../warehouse/freshness.js';
import { StateError, UsageError } from './errors.js';
import { type Dayfill, inTheWay } from './open.js';
import type { PipelineFiles } from './pipelines.js';
import { openWorkflows, progressIfTold } from './status.js';

/** Which partitions are asked for by how they stand, rather than by name; `from` and `to` bound them. */
export interface DueRequest {
  missing: boolean;
  stale: boolean;
  from?: string | undefined;
  to?: string | undefined;
  exclude?: string[] | undefined;
  vars?: Vars | undefined;
}

/**
 * The partitions that are missing or stale, as an input takes them; null when there are none.
 * @throws PartitionError, StateError
 */
export async function resolveDue(dayfill: Dayfill, pipeline: string, request: DueRequest): Promise<AddInput | null> {
  // Where partitions keep their order, a backfill waits for one that someone else runs, and later ones with it.
  const { parallelSafe } = dayfill.pipeline(pipeline, request.vars);
  const { missing, stale } = await due(dayfill, pipeline, { ...request, foreign: !parallelSafe });
  const wanted = [...(request.missing ? missing : []), ...(request.stale ? stale : [])];
  const partitions = wanted.filter((key) => !request.exclude?.includes(key)).sort();
  if (partitions.length === 0) return null;
  return request.stale ? { partitions, stale: true } : { partitions };
}

/**
 * Refuses what can be refused without a server.
 * @returns a selection that stands for whatever will be found, to check the rest of an input with.
 * @throws PartitionError, UsageError
 */
export function checkDue(files: PipelineFiles, pipeline: string, request: DueRequest): AddInput {
  const { stale, from, to, exclude = [], vars } = request;
  const definition = files.pipeline(pipeline, vars);
  partitionsOver(definition, today(), { from, to });
  for (const key of exclude) boundsOf(definition, key);
  if (stale && renderFreshness(definition, vars) === null) {
    throw new UsageError(
      `${pipeline} has no freshness: query, so nobody knows what is stale; add one to its pipeline.yaml.`,
    );
  }
  return { partitions: [firstPartition(definition)] };
}

/**
 * What there is to do among the partitions that are over (by the calendar of UTC), without what the running backfill has.
 * @param request `stale`: whether to ask the source at all; `foreign`: also those that someone else runs.
 * @throws PartitionError, StateError
 */
async function due(
  dayfill: Dayfill,
  pipeline: string,
  request: Omit<DueRequest, 'missing'> & { foreign?: boolean },
): Promise<Due> {
  const definition = dayfill.pipeline(pipeline, request.vars);
  const partitions = partitionsOver(definition, today(), request);
  const span = spanOf(partitions);
  if (span === null) return { missing: [], stale: [] };
  const name = variantName(pipeline, request.vars);
  const [open, progress, changes] = await Promise.all([
    request.foreign ? null : openWorkflows(dayfill, name),
    progressIfTold(dayfill, name),
    request.stale ? changesOf(dayfill, definition, request.vars, span) : new Map(),
  ]);
  const latest = await dayfill.ledger.latest(name, span.start, span.end);
  const underWay = new Set([...(open?.partitions.keys() ?? []), ...underWayIn(progress, latest)]);
  return duePartitions(definition, partitions, latest, changes, underWay);
}

/** What is missing and stale; null for what cannot be known, with the reason. */
export interface KnownDue {
  missing: string[] | null;
  stale: string[] | null;
  unknown: string | null;
}

/** What there is to do, as far as it can be known: looking must work while a file or the source is broken. */
export async function knownDue(dayfill: Dayfill, pipeline: string): Promise<KnownDue> {
  // Of a run with other vars only a hash is known.
  if (pipeline.includes('~')) return { missing: null, stale: null, unknown: null };
  try {
    return { ...(await due(dayfill, pipeline, { stale: true })), unknown: null };
  } catch (error) {
    if (error instanceof PipelineError || error instanceof PartitionError) {
      return { missing: null, stale: null, unknown: error.message };
    }
    if (!(error instanceof StateError)) throw error;
    const { missing } = await due(dayfill, pipeline, { stale: false });
    return { missing, stale: null, unknown: error.message };
  }
}

/**
 * When the source of each day last changed; empty where the pipeline has no `freshness:`.
 * @throws StateError when its query fails or the warehouse does not answer.
 */
export async function changesOf(
  { config }: Pick<Dayfill, 'config'>,
  definition: PipelineDefinition,
  vars: BackfillInput['vars'],
  range: { start: string; end: string },
): Promise<SourceChanges> {
  const query = renderFreshness(definition, vars);
  if (query === null) return new Map();
  try {
    return await sourceChanges(bigQueryClients(config)(query.project), query, range);
  } catch (error) {
    if (error instanceof FreshnessError) throw new StateError(error.message);
    throw inTheWay(error, config) ?? error;
  }
}

function today(): string {
  return new Date().toISOString().slice(0, 10);
}
