import { z } from 'zod';
import { MAX_FIX_SQL } from '../contracts/fix.js';
import type { ActivityKind, Json, StepKind } from '../contracts/step.js';
import { regex } from './regex.js';

/** Text that becomes an argument or a path: it can neither pass for an option nor hide something behind a control character. */
const word = z
  .string()
  .min(1)
  .max(1000)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'expected text without control characters')
  .regex(/^(?!-)/, 'expected text that does not begin with "-"');
/** Empty only by a var: then there is nothing to run. */
const program = z
  .string()
  .max(1000)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'expected text without control characters')
  .regex(/^(?!-)/, 'expected text that does not begin with "-"');
const json: z.ZodType<Json> = z.json();
const argument = z
  .string()
  .max(10_000)
  .refine((text) => !text.includes('\0'), 'expected text without NUL');
const selection = z.union([word, z.array(word).min(1)]);

/** What any step may say about where it runs. Paths start at the pipeline's folder. */
const anywhere = {
  cwd: word.optional(),
  venv: word.optional(),
  env: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of an environment variable')).optional(),
};

/** Whether a process that stays does it where the environment supports that, or a program of its own. */
const runner = z.enum(['cli', 'warm']).optional();

/** This machine: what goes there passes no network. */
const LOOPBACK = /^http:\/\/(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?:[:/]|$)/;

/** A switch, which may come from a var. */
const flag = z.union([z.boolean(), z.string().regex(/^(?:true|false|\$\{[^}]+\})$/, 'expected true or false')]);

/** Whether a switch is on. */
export function isOn(switched: z.output<typeof flag> | undefined): boolean {
  return switched === true || switched === 'true';
}

const place = word.regex(/^gs:\/\/./, 'expected a place in a bucket, such as gs://bucket/prefix');

export const sqlFile = word.refine(
  (file) => !/^(?:\/|\\|[A-Za-z]:)/.test(file) && !file.split(/[\\/]/).includes('..'),
  {
    message: "expected a path inside the pipeline's folder, such as fixes/fix.sql",
  },
);
/** What any step that runs a program may say about the tables that dbt, run by it, must not replace. */
const protection = {
  protected: z
    .array(
      z
        .string()
        .regex(
          /^!?(?:[A-Za-z0-9_*?]|\$\{[^}]+\})+\.(?:[A-Za-z0-9_*?-]|\$\{[^}]+\})+$/,
          'expected dataset.table with * and ?, such as orders.fct_* or !orders.tmp_*',
        ),
    )
    .optional()
    .describe('Tables besides incremental models and snapshots that dbt may not replace; ! takes some out again.'),
  protected_targets: z
    .array(word)
    .optional()
    .describe(
      'Targets of dbt, with * and ?, whose tables are protected; without it all but dev, test, ci and the like.',
    ),
};

/** A number that is compared exactly: as it is written. */
const decimalNumber = z
  .union([z.number(), z.string()])
  .transform(String)
  .pipe(z.string().regex(/^\d+(?:\.\d+)?$/, 'expected a number from 0 on, such as 0.01'));

/** A key of another way to do the step: refused with the reason, rather than as unknown. */
const refused = (reason: string) => z.never(reason).optional();
const onlyGraphql = refused('is for mode: graphql only');
const notInGraphql = refused('has no place with mode: graphql: the deployment runs the job with what it has itself');

const dagsterRun = { job: word, tags: z.record(word, z.string()).optional() };

/** A job that dayfill runs in a process of its own, or that a Dagster deployment runs. */
const dagsterJob = z.discriminatedUnion('mode', [
  z.strictObject({
    mode: z.literal('process').optional(),
    project: word,
    module: word,
    ...dagsterRun,
    runner,
    ...protection,
    ...anywhere,
    url: onlyGraphql,
    headers: onlyGraphql,
    location: onlyGraphql,
    repository: onlyGraphql,
  }),
  z
    .strictObject({
      mode: z.literal('graphql'),
      url: word
        .regex(
          /^(?:https?:\/\/|\$\{)[^@?#\s]+$/,
          'expected the address of a dagster-webserver, such as https://dagster.example.com, without user name and query',
        )
        .describe('Address of the dagster-webserver of the deployment.'),
      headers: z
        .record(
          z.string().regex(/^[A-Za-z0-9-]+$/, 'expected the name of a header'),
          z
            .string()
            .regex(
              /^[A-Z_][A-Z0-9_]*(?:TOKEN|KEY|SECRET|PASSWORD|CREDENTIALS)$/,
              'expected the name of an environment variable that ends in TOKEN, KEY, SECRET, PASSWORD or CREDENTIALS, never the secret itself',
            ),
        )
        .optional()
        .describe(
          'Headers of each request, such as Dagster-Cloud-Api-Token, by the environment variable with the value.',
        ),
      location: word.optional().describe('Code location of the job, where several have one of that name.'),
      repository: word.optional().describe('Repository of the job, where several have one of that name.'),
      ...dagsterRun,
      project: notInGraphql,
      module: notInGraphql,
      runner: notInGraphql,
      protected: notInGraphql,
      protected_targets: notInGraphql,
      cwd: notInGraphql,
      venv: notInGraphql,
      env: notInGraphql,
    })
    .refine(({ url, headers }) => headers === undefined || !/^http:/.test(url) || LOOPBACK.test(url), {
      path: ['headers'],
      message: 'would go unencrypted to an address that begins with http://; expected https://',
    }),
]);

/** `with` of each step kind, before and after substitution alike. */
export const stepKinds = {
  'dagster/job': dagsterJob,
  'dbt/build': z.strictObject({
    project: word,
    target: word.optional(),
    profiles_dir: word.optional(),
    vars: z.record(z.string(), json).optional(),
    select: selection.optional(),
    exclude: selection.optional(),
    runner,
    ...protection,
    ...anywhere,
  }),
  'bigquery/query': z.strictObject({
    file: sqlFile,
    project: word.optional(),
    location: word.optional(),
    dataset: word.optional(),
    ...anywhere,
  }),
  'storage/upload': z.strictObject({
    from: word.describe('Folder of partitions: folders with a _MANIFEST.json.'),
    to: place,
    dry_run: flag.optional().describe('Only list what would go.'),
    manifest_list: word.optional().describe('File that gets the address of each manifest, a line each.'),
    ...anywhere,
  }),
  'storage/cleanup': z.strictObject({
    from: word.describe('Folder that was uploaded; it is removed too.'),
    to: place,
    remove: z.array(word).default([]).describe('Further folders and files to remove.'),
    keep: flag.optional().describe('Remove nothing.'),
    dry_run: flag.optional().describe('Remove nothing, since the upload was a dry run.'),
    ...anywhere,
  }),
  'check/reconcile': z.strictObject({
    source: sqlFile.describe('File with one SELECT: a DATE column day, and counts and sums of that day.'),
    target: sqlFile.describe('The same of the table that has to agree with the source.'),
    days: z
      .number()
      .int()
      .min(1)
      .max(400)
      .optional()
      .describe('So many days up to the last of the partition; else those of the partition.'),
    tolerance: z
      .strictObject({ absolute: decimalNumber.default('0'), percent: decimalNumber.default('0') })
      .prefault({})
      .describe('How far a figure of the target may be from that of the source: within either.'),
    project: word.optional(),
    location: word.optional(),
    dataset: word.optional(),
    ...anywhere,
  }),
  command: z.strictObject({
    run: z
      .tuple([program], argument, { error: 'expected a list: the program, then its arguments, e.g. ["bq", "ls"]' })
      .describe('The program and its arguments; no shell reads them.'),
    success: regex.optional(),
    failure: regex.optional(),
    success_codes: z.array(z.number().int().min(0).max(255)).min(1).default([0]),
    ...protection,
    ...anywhere,
  }),
  // Made by dayfill of the pipeline's `fixes:` and a decision, or of a remedy's bigquery/query.
  'bigquery/fix': z.strictObject({
    /** A file of the pipeline's folder, or SQL that has been pinned by its hash. */
    source: z.union([
      z.strictObject({ file: sqlFile }),
      z.strictObject({ sql: z.string().max(MAX_FIX_SQL), sha256: z.string() }),
    ]),
    rules: z.strictObject({
      project: z.string(),
      location: z.string().nullable(),
      dataset: z.string().nullable(),
      datasets: z.array(z.string()),
      creates: z.array(z.string()),
      dayColumns: z.record(z.string(), z.string()),
      maxRows: z.number(),
      maxBytesBilled: z.number().nullable(),
    }),
    /** Where the failing tests are described (`FailingTest[]`), relative to the state directory. */
    evidence: z.string().nullable(),
    /** Whether nothing runs the tests after it: then it must find them passing itself. */
    standsIn: z.boolean(),
    ...anywhere,
  }),
} as const satisfies Record<ActivityKind, z.ZodType>;

/** The checked `with` of a step kind, as its activity gets it. */
export type StepWith<K extends ActivityKind> = z.output<(typeof stepKinds)[K]>;

/**
 * Names in `with` that say what is run or where: only vars that no start can change may stand in them, so that an input
 * never carries a command, and so that what they point at can be checked before anything runs.
 */
export const FIXED_WITH: Record<StepKind, readonly string[]> = {
  'dagster/job': ['project', 'module', 'protected', 'protected_targets', 'cwd', 'venv', 'url', 'headers'],
  'dbt/build': ['project', 'profiles_dir', 'protected', 'protected_targets', 'cwd', 'venv'],
  'bigquery/query': ['file', 'cwd', 'venv'],
  'storage/upload': ['cwd', 'venv'],
  'storage/cleanup': ['cwd', 'venv'],
  'check/reconcile': ['source', 'target', 'cwd', 'venv'],
  command: ['run.0', 'protected', 'protected_targets', 'cwd', 'venv'],
};

/** Places on this machine that steps write to or remove: fixed as well, but each partition may have its own. */
export const OWN_PLACES: Partial<Record<StepKind, readonly string[]>> = {
  'storage/upload': ['from', 'manifest_list'],
  'storage/cleanup': ['from', 'remove'],
};
