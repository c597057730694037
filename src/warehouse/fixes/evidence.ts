import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { FailingTest } from '../../contracts/fix.js';

const failingTestSchema: z.ZodType<FailingTest> = z.object({
  name: z.string(),
  kind: z.string().nullable(),
  table: z.string().nullable(),
  column: z.string().nullable(),
  arguments: z.record(z.string(), z.json()),
  sql: z.string(),
  modelSql: z.string().nullable(),
  sources: z.array(z.string()),
});

/** The failing tests that a step kept (`StepFailure.evidence`); none when there is no such file, or it is damaged. */
export async function readEvidence(stateDir: string, evidence: string | null): Promise<FailingTest[]> {
  if (evidence === null) return [];
  try {
    return z.array(failingTestSchema).parse(JSON.parse(await readFile(path.join(stateDir, evidence), 'utf8')));
  } catch {
    return [];
  }
}
