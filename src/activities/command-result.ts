import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { firstIssue } from '../contracts/decision.js';
import { StepError, type StepOutput } from './step-activity.js';

/** The environment variable that names the file in which a command may leave its result. */
export const RESULT_VARIABLE = 'DAYFILL_RESULT';

const FILE_BYTES = 64 * 1024;
const STATE_BYTES = 4096;

const resultSchema = z.strictObject({
  counts: z
    .record(z.string().regex(/^[A-Za-z]\w{0,62}$/, 'a count is named by letters, digits and "_"'), z.int())
    .refine((counts) => Object.keys(counts).length <= 100, 'at most 100 counts')
    .optional(),
  state: z
    .record(z.string(), z.json())
    .refine((state) => Buffer.byteLength(JSON.stringify(state)) <= STATE_BYTES, `at most ${STATE_BYTES} bytes of JSON`)
    .optional(),
});

/**
 * Reads what a program left in its result file. A program that left none has nothing to hand on.
 * @param program its name, for the message.
 * @throws StepError of kind `step_error` when it is no JSON, too large or of another shape: what the next partition would
 * begin with is not to be guessed.
 */
export async function takeResult(file: string, program: string): Promise<StepOutput> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  if (Buffer.byteLength(text) > FILE_BYTES) throw unusable(program, `it is larger than ${FILE_BYTES} bytes`);
  const parsed = resultSchema.safeParse(jsonOf(text, program));
  if (!parsed.success) throw unusable(program, firstIssue(parsed.error));
  const { counts = {}, state = null } = parsed.data;
  return { counts, state };
}

function jsonOf(text: string, program: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw unusable(program, `not JSON: ${(error as Error).message}`);
  }
}

function unusable(program: string, why: string): StepError {
  return new StepError('step_error', `The result that ${program} left in ${RESULT_VARIABLE} is not usable: ${why}.`);
}
