import { z } from 'zod';
import { pipelineName } from '../contracts/backfill.js';
import { FAILURE_KINDS } from '../contracts/failure.js';
import { ON_FAILURE } from '../contracts/status.js';
import { regex } from './regex.js';
import { date, duration, identifier } from './scalars.js';
import { stepKinds } from './step-kinds.js';

/** Of a step that says nothing else, and of every step of a remedy. */
export const DEFAULT_RETRY = { attempts: 3, initial: '30s' };

const plain = [z.string().max(1000), z.number()] as const;
const variable = z.union([
  ...plain,
  z.strictObject({
    default: z.union(plain),
    pattern: regex.optional().describe('Regular expression that a whole override must match.'),
    overridable: z.boolean().default(false).describe('Whether a start may change it.'),
  }),
]);

/** One variant per step kind, so that each has the `with` of its kind. */
function work<S extends z.ZodRawShape>(shape: S) {
  const timeout = duration.default('12h').describe('After this the step is stopped.');
  return z.discriminatedUnion('uses', [
    z.strictObject({ ...shape, uses: z.literal('dagster/job'), with: stepKinds['dagster/job'], timeout }),
    z.strictObject({ ...shape, uses: z.literal('dbt/build'), with: stepKinds['dbt/build'], timeout }),
    z.strictObject({ ...shape, uses: z.literal('bigquery/query'), with: stepKinds['bigquery/query'], timeout }),
    z.strictObject({ ...shape, uses: z.literal('command'), with: stepKinds.command, timeout }),
  ]);
}

const remedy = z.strictObject({
  id: identifier,
  when: z
    .strictObject({
      test: z.string().min(1).max(300).optional().describe('Name of a failing test, or a glob with * and ?.'),
      error: regex.optional().describe('Regular expression over the classified message.'),
      kind: z.enum(FAILURE_KINDS).optional(),
      exit_code: z.number().int().optional(),
    })
    .refine((when) => Object.keys(when).length > 0, 'expected at least one of test, error, kind, exit_code'),
  attempts: z.number().int().min(1).max(100).default(1).describe('How often it may be applied within one partition.'),
  run: z.array(work({})).min(1),
  then: z.enum(['retry', 'continue']).describe('retry: run the step again; continue: the remedy stands in for it.'),
});

const step = work({
  id: identifier,
  title: z.string().min(1).max(200).optional(),
  retry: z
    .strictObject({
      attempts: z.number().int().min(1).max(100).default(DEFAULT_RETRY.attempts),
      initial: duration.default(DEFAULT_RETRY.initial),
    })
    .prefault({})
    .describe('For transient failures only: tries in all, and the wait before the second.'),
  remedies: z.array(remedy).default([]),
});

/** pipeline.yaml, names as they stand in the file. What a schema cannot say is in checks.ts. */
export const pipelineSchema = z
  .strictObject({
    pipeline: pipelineName.describe("The name of the pipeline's folder."),
    description: z.string().max(2000).default(''),
    partition: z.strictObject({
      every: z
        .string()
        .regex(/^[1-9]\d{0,3}d$/, 'expected days, such as 1d or 30d')
        .describe('Length of a partition.'),
      start: date.describe('First day of the first partition.'),
      end: date.optional().describe('Last day of the last partition.'),
    }),
    vars: z
      .record(z.string().regex(/^[A-Za-z][A-Za-z0-9_]*$/, 'expected letters, digits and "_"'), variable)
      .default({}),
    on_failure: z.enum(ON_FAILURE).default('wait'),
    parallel_safe: z.boolean().default(false),
    concurrency: z.number().int().min(1).max(100).default(1),
    lock: identifier.optional().describe('Pipelines that name the same lock take turns.'),
    steps: z.array(step).min(1),
  })
  .describe('A dayfill pipeline.');

export type PipelineFile = z.output<typeof pipelineSchema>;
