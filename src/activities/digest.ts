import type { CatchUpActivities } from '../contracts/activities.js';
import { addKnown } from '../contracts/amounts.js';
import type { Progress } from '../contracts/backfill.js';
import type { Digest, DigestFindings, DigestInput } from '../contracts/catch-up.js';
import type { LedgerRow } from '../contracts/ledger.js';
import { type NoticePartition, UNEXPLAINED } from '../contracts/notice.js';
import type { PartitionStatus } from '../contracts/status.js';
import { PartitionError, PipelineError } from '../pipeline/errors.js';
import { unrecorded } from '../pipeline/under-way.js';
import { FreshnessError } from '../warehouse/freshness.js';
import { type CatchUpDeps, findDue } from './catch-up.js';
import { openPartitions, runningProgress } from './open-workflows.js';

/** How a pipeline with catch-up stands in the morning. */
export function digestActivity(deps: CatchUpDeps): Pick<CatchUpActivities, 'gatherDigest'> {
  return {
    async gatherDigest(input) {
      if (!isAwaited(deps, input)) return null;
      const found = await gather(deps, input);
      const { counts, missing, problem } = found.digest;
      const nothing = Object.keys(counts).length === 0 && missing.length === 0 && problem === null;
      return nothing ? null : found;
    },
  };
}

/** Whether anyone wants digests; told by the file, so that one that is broken is waited for by whoever tells them. */
function isAwaited({ loadPipeline }: CatchUpDeps, { pipeline }: DigestInput): boolean {
  try {
    return loadPipeline(pipeline).notify.some(({ on }) => on.includes('digest'));
  } catch (error) {
    if (error instanceof PipelineError) return true;
    throw error;
  }
}

async function gather(deps: CatchUpDeps, input: DigestInput): Promise<DigestFindings> {
  const { ledger, client } = deps;
  const { pipeline, since } = input;
  const progress = await runningProgress(client, pipeline);
  const latest = await ledger.latest(pipeline);
  const rows = [...latest.values()];
  const asked = rows.filter(({ status }) => status === 'waiting').map(({ partition }) => partition);
  const live = {
    ...Object.fromEntries(unrecorded(progress, latest)),
    ...statusesOf(progress),
    ...Object.fromEntries(await openPartitions(client, pipeline, asked)),
  };
  const ended = rows.filter(
    ({ partition, status, recordedAt }) =>
      live[partition] === undefined && status !== 'waiting' && Date.parse(recordedAt) >= Date.parse(since),
  );
  const statuses = [
    ...Object.entries(live).map(([partition, status]): NoticePartition => named(partition, status as PartitionStatus)),
    ...ended.map(({ partition, status }) => named(partition, status)),
  ].sort((a, b) => (a.partition < b.partition ? -1 : 1));
  const of = (status: PartitionStatus) => statuses.filter((one) => one.status === status);
  const told = (['fixed', 'failed', 'skipped', 'waiting'] as const).flatMap(of);
  return {
    partitions: told,
    digest: {
      since,
      counts: countsOf(statuses),
      succeeded: of('succeeded').map(({ partition }) => partition),
      behind: heldBack(progress, live),
      paused: progress?.status === 'paused',
      costUsd: costOf(ended),
      ...(await missingOf(deps, input)),
    },
  };
}

/** Partitions of the running backfill: those under way, and those that are to come. */
function statusesOf(progress: Progress | null): Record<string, string> {
  const pending = progress?.pending.map((partition) => [partition, 'pending']) ?? [];
  const live = Object.entries(progress?.live ?? {}).map(([partition, { status }]) => [partition, status]);
  return Object.fromEntries([...pending, ...live]);
}

/** Nothing runs beside the partition that waits: those to come cannot start before it. */
function heldBack(progress: Progress | null, statuses: Record<string, string>): Digest['behind'] {
  if (progress === null || progress.pending.length === 0) return null;
  const [first, ...others] = Object.keys(progress.live).sort();
  const held = [first, ...others].every((key) => key !== undefined && statuses[key] === 'waiting');
  return held ? { partition: first!, partitions: progress.pending } : null;
}

async function missingOf(deps: CatchUpDeps, input: DigestInput): Promise<Pick<Digest, 'missing' | 'problem'>> {
  try {
    const { missing } = await findDue(deps, input.pipeline, input.today, input.lookbackDays);
    const open = await openPartitions(deps.client, input.pipeline, missing);
    return { missing: missing.filter((key) => !open.has(key)), problem: null };
  } catch (error) {
    const isRefusal = [PartitionError, PipelineError, FreshnessError].some((kind) => error instanceof kind);
    if (!isRefusal) throw error;
    return { missing: [], problem: (error as Error).message };
  }
}

function named(partition: string, status: PartitionStatus): NoticePartition {
  return { partition, status, ...UNEXPLAINED };
}

function countsOf(partitions: NoticePartition[]): Digest['counts'] {
  const counts: Digest['counts'] = {};
  for (const { status } of partitions) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** Null when the ledger knows the cost of none. */
function costOf(rows: LedgerRow[]): number | null {
  const steps = rows.flatMap((row) => row.steps);
  return steps.reduce((sum: number | null, { costUsd }) => addKnown(sum, costUsd), null);
}
