import { z } from 'zod';
import { propose } from '../client/propose.js';
import { rehearse } from '../client/rehearse.js';
import { partitionView } from '../client/status.js';
import { waitingPartitions } from '../client/waiting.js';
import { MAX_FIX_SQL } from '../contracts/fix.js';
import { partitionShown, proposalShown, rehearsalShown, waitingShown } from './shown.js';
import { by, DATA, failure, partition, pipeline, type Toolbox } from './tool.js';

const MOST_WAITING = 100;

const sql = z
  .string()
  .min(1)
  .max(MAX_FIX_SQL)
  .describe(
    'BigQuery SQL of the fix: DELETE, UPDATE, MERGE or INSERT on tables of the datasets that the pipeline allows, bound to the partition by @partition, or @partition_start and @partition_end; CREATE TABLE IF NOT EXISTS of a quarantine table may come first.',
  );

/** The tools that decide nothing. */
export function addLookingTools(tools: Toolbox): void {
  tools.add('list_waiting', {
    description: `Lists the partitions (days) that wait for a decision, with the failure of each; those with the same fingerprint fail alike. At most ${MOST_WAITING}; total says how many there are. ${DATA}`,
    input: { pipeline: pipeline.optional().describe('Only of this pipeline. Without it: of all.') },
    annotations: { title: 'List what waits', readOnlyHint: true },
    async run(dayfill, input) {
      const { total, partitions } = await waitingPartitions(dayfill, input.pipeline ?? null, MOST_WAITING);
      return { total, waiting: partitions.map(waitingShown) };
    },
  });

  tools.add('show_failure', {
    description: `Shows one partition: its steps, the failure with the end of its log, the proposal with its SQL and rehearsal, and the decisions taken so far. ${DATA}`,
    input: { pipeline, partition },
    annotations: { title: 'Show a failure', readOnlyHint: true },
    run: async (dayfill, input) => partitionShown(await partitionView(dayfill, input.pipeline, input.partition)),
  });

  tools.add('rehearse_fix', {
    description: `Tells what a fix would do, without changing anything: whether the guard allows it, or why not; the rows that it would change, ten of them before and after; and whether the failing test passes on the result. ${DATA}`,
    input: { pipeline, partition, sql },
    annotations: { title: 'Rehearse a fix', readOnlyHint: true },
    run: async (dayfill, input) => rehearsalShown(await rehearse(dayfill, input.pipeline, input.partition, input.sql)),
  });

  tools.add('propose_fix', {
    description: `Puts a fix before the person who decides about a waiting partition, in place of the proposal that is there. The SQL is checked and rehearsed first; nothing is changed until a person approves it, elsewhere than here. ${DATA}`,
    input: {
      pipeline,
      partition,
      failure,
      sql,
      explanation: z.string().min(1).max(2000).describe('Why this is right, in one or two sentences for who decides.'),
      by: by.optional(),
    },
    annotations: { title: 'Propose a fix', readOnlyHint: false, destructiveHint: false, idempotentHint: true },
    async run(dayfill, input) {
      const { pipeline: name, partition: key, by: who, ...proposal } = input;
      const proposed = { ...proposal, ...(who !== undefined && { by: who }), viaMcp: true };
      return proposalShown(await propose(dayfill, name, key, proposed));
    },
  });
}
