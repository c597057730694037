import { type ToolSet, tool } from 'ai';
import { z } from 'zod';
import { MAX_FIX_SQL } from '../../contracts/fix.js';
import { maskPersonal } from '../../runners/mask.js';
import { firstBytes } from '../../runners/text.js';
import type { AdviceContext } from '../adviser.js';

const ANSWER_BYTES = 8192;
const ALL_BYTES = 65_536;

export const proposeSchema = z.object({
  sql: z.string().min(1).max(MAX_FIX_SQL),
  explanation: z.string().min(1).max(2000).describe('One or two sentences for the person who decides.'),
  confidence: z.number().min(0).max(1),
  expectedRows: z.number().int().min(0).nullable().describe('Rows that it changes or takes away; null if unknown.'),
});
export const nothingSchema = z.object({ reason: z.string().min(1).max(2000) });

/** What a model gives as its answer; they are not carried out, so that calling one ends the conversation. */
export const answerTools: ToolSet = {
  propose: tool({ description: 'Suggest a fix. Ends your work.', inputSchema: proposeSchema }),
  nothing: tool({
    description: 'Say that there is no fix to suggest, and why. Ends your work.',
    inputSchema: nothingSchema,
  }),
};

/** What a model may look at. All of it is read only, masked, and bounded in bytes for each answer and in all. */
export function readingTools({ tests, warehouse }: AdviceContext): ToolSet {
  let left = ALL_BYTES;
  const table = z.object({ table: z.string().max(300).describe('dataset.table') });

  /** Asked for in vain, and failed at, are answers like any other: what went wrong is not the model's business. */
  async function answered(read: () => Promise<unknown>): Promise<string> {
    if (left <= 0) return 'No more can be read: answer now.';
    const found = await read().catch(() => null);
    const text = found === null ? 'There is nothing to read by that name.' : JSON.stringify(found);
    const answer = firstBytes(maskPersonal(text), Math.min(ANSWER_BYTES, Math.max(left, 64)));
    left -= Buffer.byteLength(answer);
    return answer;
  }

  return {
    columns: tool({
      description: 'Names and types of the columns of a table, and which of them holds the day.',
      inputSchema: table,
      execute: ({ table: name }) =>
        answered(async () => {
          const found = await warehouse.table(name);
          return found && { table: found.name, day: found.day?.name ?? null, columns: found.columns };
        }),
    }),
    compiled_sql: tool({
      description: 'Compiled SQL of a failing test and of the model that it tests.',
      inputSchema: z.object({ test: z.string().max(300) }),
      execute: ({ test: name }) =>
        answered(async () => {
          const found = tests.find((test) => test.name === name);
          return found === undefined ? null : { sql: found.sql, modelSql: found.modelSql };
        }),
    }),
    sample: tool({
      description: 'At most ten rows of the partition of a table, with personal data masked.',
      inputSchema: table,
      execute: ({ table: name }) =>
        answered(async () => {
          const found = await warehouse.table(name);
          return found && (await warehouse.sample(found));
        }),
    }),
  };
}
