import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Query } from '@google-cloud/bigquery';
import { execa } from 'execa';
import pLimit from 'p-limit';
import { z } from 'zod';
import { addKnown } from '../contracts/amounts.js';
import type { BackfillInput, Plan } from '../contracts/backfill.js';
import type { RenderedPartition, RenderedStep } from '../contracts/partition.js';
import { dbtArguments } from '../pipeline/dbt-arguments.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { renderPartition } from '../pipeline/render.js';
import { readSql } from '../pipeline/sql-text.js';
import type { StepWith } from '../pipeline/step-kinds.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { costUsd } from '../warehouse/cost.js';
import { dryRunBytes } from '../warehouse/dry-run.js';
import { warehouseMessage } from '../warehouse/errors.js';
import { labelValue } from '../warehouse/labels.js';
import { partitionParams } from '../warehouse/partition-params.js';
import type { Dayfill } from './open.js';

/** For all of it: who asks for a plan waits for it. */
const PATIENCE_MS = 60_000;
const DRY_RUNS_AT_ONCE = 8;
const RUNNER = fileURLToPath(new URL('../../warehouse/runner/run.py', import.meta.url));

/** What running something would cost at least. */
export interface Estimate {
  /** Null when nothing is known. */
  bytes: number | null;
  costUsd: number | null;
  /** What is not in it, a sentence each. */
  unknown: string[];
}

export interface PlanEstimate {
  total: Estimate;
  /** Of the partitions that would run, by key. */
  partitions: Map<string, Estimate>;
}

/** Bytes of a statement, or why they are not known. */
type Guess = number | { why: string };

/**
 * What a plan would cost at least, found out by dry runs: those of SQL steps, and of what dbt compiles. Never fails: what
 * cannot be known is told. What a merge reads of its target, remedies, and steps of other kinds are not in it.
 */
export async function estimatePlan(dayfill: Dayfill, input: BackfillInput, plan: Plan): Promise<PlanEstimate> {
  const definition = dayfill.pipeline(input.pipeline);
  const todo = plan.partitions.filter(({ action }) => action === 'run').map(({ partition }) => partition);
  const estimator = new Estimator(dayfill, definition, AbortSignal.timeout(PATIENCE_MS));
  const rendered = new Map(todo.map((key) => [key, rendering(definition, input, key)]));
  await estimator.compile([...rendered.values()].flatMap((one) => ('steps' in one ? one.steps : [])));
  const partitions = new Map<string, Estimate>();
  for (const [key, one] of rendered) {
    partitions.set(key, 'steps' in one ? await estimator.partition(one) : estimator.sum([one]));
  }
  return { total: estimator.together([...partitions.values()]), partitions };
}

/** A partition can depend on what the one before hands on, which is not there yet. */
function rendering(
  definition: PipelineDefinition,
  { pipeline, vars, fromStep }: BackfillInput,
  partition: string,
): RenderedPartition | { why: string } {
  const input = { pipeline, partition, ...(vars && { vars }), ...(fromStep && { fromStep }) };
  try {
    return renderPartition(definition, input, undefined, new Date().toISOString());
  } catch (error) {
    return { why: (error as Error).message };
  }
}

const compiledSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('compiled'),
    statements: z.array(z.object({ id: z.string(), sql: z.string() })),
    failed: z.array(z.string()),
  }),
  z.object({ event: z.literal('refused'), message: z.string() }),
]);
type Compiled = z.infer<typeof compiledSchema>;

class Estimator {
  private readonly clients;
  private readonly limit = pLimit(DRY_RUNS_AT_ONCE);
  /** Of the same statement with the same parameters. */
  private readonly guesses = new Map<string, Promise<Guess>>();
  /** What dbt makes of a step, by its `with`. */
  private readonly compiled = new Map<string, Compiled>();

  constructor(
    private readonly dayfill: Dayfill,
    private readonly definition: PipelineDefinition,
    private readonly patience: AbortSignal,
  ) {
    this.clients = bigQueryClients(dayfill.config);
  }

  /** Has dbt compile what the steps would build: once for all that differ in nothing but their vars. */
  async compile(steps: RenderedStep[]): Promise<void> {
    const alike = new Map<string, Map<string, RenderedStep>>();
    for (const step of steps.filter(({ uses }) => uses === 'dbt/build')) {
      const { vars: _, ...rest } = step.with;
      const name = JSON.stringify(rest);
      alike.set(name, (alike.get(name) ?? new Map()).set(JSON.stringify(step.with), step));
    }
    for (const group of alike.values()) await this.compileAlike([...group.values()]);
  }

  private async compileAlike(steps: RenderedStep[]): Promise<void> {
    const first = steps[0]!;
    const given = first.with as unknown as StepWith<'dbt/build'>;
    const { config } = this.dayfill;
    const { dir, name } = this.definition;
    const project = path.resolve(dir, given.project);
    const venv = given.venv === undefined ? config.venv : path.resolve(dir, given.venv);
    const { options, selection } = dbtArguments(given, project, dir);
    const scratch = mkdtempSync(path.join(tmpdir(), 'dayfill-estimate-'));
    const labels = { dayfill_pipeline: labelValue(name), dayfill_step: labelValue(first.id), dayfill_run: 'estimate' };
    try {
      const ran = await execa(path.join(venv, 'bin', 'python'), [RUNNER, 'dbt-compile'], {
        cwd: given.cwd === undefined ? project : path.resolve(dir, given.cwd),
        env: {
          ...(config.bigqueryEndpoint !== null && { DAYFILL_BIGQUERY_ENDPOINT: config.bigqueryEndpoint }),
          PATH: [path.join(venv, 'bin'), process.env.PATH].join(path.delimiter),
          DAYFILL_LABELS: JSON.stringify(labels),
          DBT_SEND_ANONYMOUS_USAGE_STATS: 'false',
        },
        input: JSON.stringify({
          options: [...options, '--target-path', scratch, '--log-path', scratch],
          selection,
          vars: steps.map((step) => step.with.vars ?? {}),
        }),
        cancelSignal: this.patience,
        reject: false,
      });
      const lines = ran.stdout.split('\n').filter((line) => line !== '');
      for (const [index, line] of lines.entries()) {
        this.compiled.set(JSON.stringify(steps[index]!.with), compiledSchema.parse(JSON.parse(line)));
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }

  async partition({ steps, bounds, project }: RenderedPartition): Promise<Estimate> {
    const guesses = await Promise.all(
      steps.map(async (step) => {
        const ofStep = await this.step(step, bounds, project);
        return ofStep.map((guess) => (typeof guess === 'number' ? guess : { why: `${step.id}: ${guess.why}` }));
      }),
    );
    return this.sum(guesses.flat());
  }

  /** Known bytes together, and what is not known. */
  sum(guesses: Guess[]): Estimate {
    const known = guesses.filter((guess) => typeof guess === 'number');
    const unknown = guesses.flatMap((guess) => (typeof guess === 'number' ? [] : guess.why));
    return this.together([{ bytes: known.reduce(addKnown, null), costUsd: null, unknown }]);
  }

  /** The same is told once. */
  together(estimates: Estimate[]): Estimate {
    const bytes = estimates.map((one) => one.bytes).reduce(addKnown, null);
    const unknown = [...new Set(estimates.flatMap((one) => one.unknown))];
    return { bytes, costUsd: costUsd({ bytesBilled: bytes, slotMs: null }, this.dayfill.config.prices), unknown };
  }

  private async step(
    step: RenderedStep,
    partition: RenderedPartition['bounds'],
    project: string | null,
  ): Promise<Guess[]> {
    if (step.uses === 'bigquery/query') {
      const { file, project: own = project, location, dataset } = step.with as StepWith<'bigquery/query'>;
      const query = await readSql(this.definition.dir, file, partition).catch(() => null);
      if (query === null || own === null) return [{ why: `${file} cannot be read, or no project is named` }];
      const place = { ...(location && { location }), ...(dataset && { defaultDataset: { datasetId: dataset } }) };
      return [await this.dryRun(own, { query, params: partitionParams(partition), ...place })];
    }
    if (step.uses !== 'dbt/build') return [{ why: `${step.uses} tells nothing beforehand` }];
    const compiled = this.compiled.get(JSON.stringify(step.with));
    if (compiled === undefined) return [{ why: 'dbt did not get to it in time, or could not be run' }];
    if (compiled.event === 'refused') return [{ why: `dbt: ${compiled.message}` }];
    if (project === null) return [{ why: 'there is no var project_id, and so no project to ask in' }];
    const guesses = compiled.statements.map(async ({ id, sql }) => {
      const guess = await this.dryRun(project, { query: sql });
      return typeof guess === 'number' ? guess : { why: `${id}: ${guess.why}` };
    });
    return [...(await Promise.all(guesses)), ...compiled.failed.map((id) => ({ why: `dbt cannot compile ${id}` }))];
  }

  private dryRun(project: string, query: Query): Promise<Guess> {
    const name = JSON.stringify([project, query]);
    const known = this.guesses.get(name);
    if (known !== undefined) return known;
    const guess = this.limit(async (): Promise<Guess> => {
      if (this.patience.aborted) return { why: 'there was no time to ask' };
      try {
        return (await dryRunBytes(this.clients(project), query)) ?? { why: 'a script tells nothing beforehand' };
      } catch (error) {
        return { why: warehouseMessage(error) };
      }
    });
    this.guesses.set(name, guess);
    return guess;
  }
}
