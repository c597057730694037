import { z } from 'zod';
import { resolveAlike } from '../client/alike.js';
import { decide } from '../client/decide.js';
import { by, DATA, failure, partition, pipeline, type Toolbox } from './tool.js';

const note = z.string().min(1).max(2000).describe('Why, for the ledger.');

/** The tools that change what happens; only where whoever started the server allows it. */
export function addDecidingTools(tools: Toolbox): void {
  tools.add('decide', {
    description: `Answers the failure that a partition waits with. retry: run the step again. approve: run the SQL of the proposal with this hash, then the step again; refused for what was proposed through MCP, which a person must approve. reject: turn the proposal down and go on waiting. skipStep: leave the step out. skip: leave the rest of the partition out. abort: end the partition failed, and the backfill with it. What came of it is in show_failure. ${DATA}`,
    input: {
      pipeline,
      partition,
      failure,
      action: z.enum(['retry', 'approve', 'reject', 'skipStep', 'skip', 'abort']),
      proposal: z
        .string()
        .regex(/^[0-9a-f]{64}$/, 'expected the SHA-256 of the proposal in hex')
        .optional()
        .describe('Of approve and reject: SHA-256 of the proposal, as show_failure has it.'),
      note,
      by,
    },
    annotations: { title: 'Decide', readOnlyHint: false, destructiveHint: true, idempotentHint: false },
    run(dayfill, { pipeline: name, partition: key, proposal, ...decision }) {
      return decide(dayfill, name, key, { ...decision, ...(proposal !== undefined && { proposal }), via: 'mcp' });
    },
  });

  tools.add('decide_all_alike', {
    description:
      'Answers every partition that waits with this fingerprint, and later ones of the running backfill, by the decision that has healed one of them before; refused while none has been healed.',
    input: {
      pipeline,
      fingerprint: z
        .string()
        .regex(/^[0-9a-f]{12}$/, 'expected 12 hex digits')
        .describe('As list_waiting has it.'),
      note,
      by,
    },
    annotations: { title: 'Decide all alike', readOnlyHint: false, destructiveHint: true, idempotentHint: true },
    run: (dayfill, { pipeline: name, ...alike }) => resolveAlike(dayfill, name, { ...alike, via: 'mcp' }),
  });
}
