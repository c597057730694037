import { z } from 'zod';
import { pipelineName } from '../contracts/backfill.js';
import { FAILURE_KINDS } from '../contracts/failure.js';
import { REMEDY_CLASSES } from '../contracts/fix.js';
import { PROJECT_ID } from '../contracts/ids.js';
import { ON_LIMIT } from '../contracts/limits.js';
import { NOTICE_EVENTS } from '../contracts/notice.js';
import { ON_FAILURE } from '../contracts/status.js';
import { DAY, EVERY } from './calendar-text.js';
import { regex } from './regex.js';
import { bytes, duration, identifier, isDate } from './scalars.js';
import { sqlFile, stepKinds } from './step-kinds.js';

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
    z.strictObject({ ...shape, uses: z.literal('storage/upload'), with: stepKinds['storage/upload'], timeout }),
    z.strictObject({ ...shape, uses: z.literal('storage/cleanup'), with: stepKinds['storage/cleanup'], timeout }),
    z.strictObject({ ...shape, uses: z.literal('check/reconcile'), with: stepKinds['check/reconcile'], timeout }),
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

const column = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of a column');
const dollars = z.number().positive().max(1e9);

const limits = z
  .strictObject({
    runtime: duration.optional().describe('Longest that the step may run, attempts after a crash included.'),
    bytes_billed: bytes.optional().describe('Most bytes that its BigQuery jobs may bill together, such as 1TiB.'),
    slot_hours: z.number().positive().max(1e9).optional().describe('Most slot-hours that they may take together.'),
    cost_usd: dollars.optional().describe('Most dollars that they may cost together, by the prices of the settings.'),
    temp_tables: z
      .array(
        z.strictObject({
          like: z.string().min(1).max(300).describe('Name of a table, or a glob with * and ?.'),
          dataset: z.string().min(1).max(300).optional().describe('Default: the var dataset.'),
          project: z.string().min(1).max(300).optional().describe('Default: the var project_id.'),
          date_column: column,
          max_days: z.number().int().min(1).max(10_000).describe('Most distinct days in that column.'),
        }),
      )
      .min(1)
      .optional()
      .describe('Tables that the step makes and that may hold only so many days.'),
    on_limit: z
      .enum(ON_LIMIT)
      .default('wait')
      .describe('wait: stop the step, run its cleanup, and wait for a decision; warn: say so and go on.'),
  })
  .refine(
    ({ on_limit: _, ...bounds }) => Object.keys(bounds).length > 0,
    'expected at least one of runtime, bytes_billed, slot_hours, cost_usd, temp_tables',
  );

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
  after_fix: z
    .array(work({}))
    .default([])
    .describe('What runs after a fix in place of the step, where the step would bring back what the fix took away.'),
  limits: limits.optional().describe('What the step, its remedies and its after_fix may take, each by itself.'),
  cleanup: z.array(work({})).default([]).describe('What runs once the step has been stopped for a limit.'),
});

const dataset = z.string().regex(/^[A-Za-z0-9_]+$/, 'expected the name of a dataset');
const table = z.string().regex(/^[A-Za-z0-9_]+\.[A-Za-z0-9_-]+$/, 'expected dataset.table');

const fixes = z
  .strictObject({
    datasets: z.array(dataset).min(1).describe('Datasets that a fix may read and change.'),
    creates: z
      .array(table)
      .default([])
      .describe('Tables that a fix may create besides those whose name says quarantine or backup.'),
    day_columns: z
      .record(table, column)
      .default({})
      .describe("The column with a row's day, of tables that are not partitioned by it and have several dates."),
    max_rows: z.number().int().min(1).default(10_000).describe('A fix that changes more rows is rolled back.'),
    max_bytes_billed: bytes.optional().describe('Most bytes that each query of a fix may bill, such as 10GiB.'),
    auto_apply: z
      .partialRecord(z.enum(REMEDY_CLASSES).exclude(['person']), z.number().int().min(1))
      .default({})
      .describe('Kinds of proposal that are applied without asking, with the most rows that each may change.'),
  })
  .describe('What the SQL of fixes may do; without it there are no SQL fixes but those of remedies.');

const freshness = z
  .strictObject({
    file: sqlFile.optional().describe("A SQL file of the pipeline's folder."),
    query: z.string().min(1).max(20_000).optional().describe('The SQL itself.'),
    project: z.string().regex(PROJECT_ID, 'expected the name of a Google Cloud project').optional(),
    location: z.string().min(1).max(100).optional(),
    dataset: dataset.optional(),
  })
  .refine(({ file, query }) => (file === undefined) !== (query === undefined), 'expected either file or query')
  .describe(
    'Tells when the source of each day last changed: columns day (DATE) and changed_at (TIMESTAMP), for the days from @partition_start to @partition_end.',
  );

const decideWithin = z.strictObject({
  time: duration.describe('After this the action is taken.'),
  action: z.enum(['retry', 'skip_step', 'skip', 'abort']),
  remind_every: duration.optional(),
});

const secret = z
  .string()
  .regex(
    /^[A-Z_][A-Z0-9_]*$/,
    'expected the name of an environment variable, such as SLACK_WEBHOOK_URL, never the secret itself',
  );
const on = z
  .array(z.enum(NOTICE_EVENTS))
  .min(1)
  .default([...NOTICE_EVENTS]);
const notifyTarget = z.union([
  z.strictObject({ slack: secret.describe('Environment variable with the URL of a Slack-compatible webhook.'), on }),
  z.strictObject({ webhook: secret.describe('Environment variable with the URL that takes the notice as JSON.'), on }),
  z.strictObject({
    email: z.strictObject({
      to: z.array(z.email()).min(1),
      from: z.email(),
      smtp: secret.describe(
        'Environment variable with the URL of the mail server, such as smtps://user:password@host.',
      ),
    }),
    on,
  }),
]);

const calendarDay = z
  .string()
  .regex(DAY, 'expected a date such as 2025-07-16')
  .refine((text) => text.startsWith('$') || isDate(text), {
    error: (issue) => `${String(issue.input)} is not a date that exists`,
  });

const smoke = z
  .strictObject({ vars: z.record(z.string(), z.union(plain)) })
  .describe('Vars of `dayfill run <pipeline> --smoke`: a short calendar, and a place of its own to upload to.');

const verify = z
  .strictObject({
    from: stepKinds['storage/upload'].shape.to.describe('What is checked, such as gs://bucket/prefix.'),
    run: stepKinds.command.shape.run.describe('Program and arguments; ${folder} is the copy of it that is checked.'),
    cwd: z.string().min(1).max(1000).optional(),
  })
  .describe('Checks what the pipeline has uploaded: `dayfill verify <pipeline>`.');

/** pipeline.yaml, names as they stand in the file. What a schema cannot say is in checks.ts. */
export const pipelineSchema = z
  .strictObject({
    pipeline: pipelineName.describe("The name of the pipeline's folder."),
    description: z.string().max(2000).default(''),
    partition: z.strictObject({
      every: z.string().regex(EVERY, 'expected days, such as 1d or 30d').describe('Length of a partition.'),
      start: calendarDay.describe('First day of the first partition.'),
      end: calendarDay.optional().describe('Last day of the last partition.'),
    }),
    vars: z
      .record(z.string().regex(/^[A-Za-z][A-Za-z0-9_]*$/, 'expected letters, digits and "_"'), variable)
      .default({}),
    on_failure: z.enum(ON_FAILURE).default('wait'),
    parallel_safe: z.boolean().default(false),
    concurrency: z.number().int().min(1).max(100).default(1),
    fixes: fixes.optional(),
    allow_ad_hoc_sql: z.boolean().default(false).describe('Whether a decision may carry SQL that is in no file.'),
    decide_within: decideWithin.optional().describe('What decides when nobody has.'),
    critical: z
      .boolean()
      .default(true)
      .describe('Where false, decide_within skips days that catch-up started, whatever its action is for others.'),
    freshness: freshness.optional(),
    notify: z.array(notifyTarget).default([]).describe('Who is told.'),
    budget_usd: dollars
      .optional()
      .describe('Dollars after which a backfill pauses: it starts no further partition until resumed.'),
    smoke: smoke.optional(),
    verify: verify.optional(),
    lock: identifier.optional().describe('Pipelines that name the same lock take turns.'),
    steps: z.array(step).min(1),
  })
  .describe('A dayfill pipeline.');

export type PipelineFile = z.output<typeof pipelineSchema>;
