import type { FixRules } from '../contracts/fix.js';
import type { FreshnessQuery } from '../contracts/freshness.js';
import { PROJECT_ID, variantName } from '../contracts/ids.js';
import type { StepLimits } from '../contracts/limits.js';
import type { PartitionInput, RemedyPlan, RenderedPartition, RenderedStep } from '../contracts/partition.js';
import { FIX_KIND, type Json } from '../contracts/step.js';
import { boundsOf, firstPartition, previousPartition } from './calendar.js';
import { calendarOf } from './calendar-text.js';
import type {
  LimitsDefinition,
  PipelineDefinition,
  Remedy,
  StepDefinition,
  VerifyDefinition,
  Work,
} from './definition.js';
import { PartitionError } from './errors.js';
import { type StepWith, stepKinds } from './step-kinds.js';
import { asText, referencesIn, substitute, type TemplateValues, textsIn } from './template.js';

/** A fix is a handful of small statements; one that takes longer has gone wrong. */
const FIX_TIMEOUT_MS = 3_600_000;
const FIX_RETRY = { attempts: 3, initialMs: 30_000 };

/** Names are put between backquotes in SQL: nothing may close them. */
const NAMES_OF_TABLES = { project: PROJECT_ID, dataset: /^\w{1,1024}$/, like: /^[\w*?-]{1,300}$/ };

/**
 * A partition ready to run: steps from `fromStep` on, substituted and checked again.
 * @param previousState what the partition before handed on; undefined when it handed on nothing.
 * @param sourceAsOf ISO time before the first read of the source.
 * @throws PartitionError when the input does not fit the pipeline.
 */
export function renderPartition(
  definition: PipelineDefinition,
  input: PartitionInput,
  previousState: Json | undefined,
  sourceAsOf: string,
): RenderedPartition {
  const values = templateValues(definition, input, previousState);
  const first = stepIndex(definition, input.fromStep);
  return {
    bounds: values.partition,
    earlierSteps: definition.steps.slice(0, first).map(({ id }) => id),
    steps: definition.steps.slice(first).map((step) => renderStep(step, values)),
    onFailure: input.onFailure ?? definition.onFailure,
    project: values.vars.project_id ?? null,
    lock: definition.lock,
    decideWithin: decideWithinOf(definition, input),
    autoApply: definition.fixes?.autoApply ?? {},
    notifies: definition.notify.length > 0,
    fixes: definition.fixes !== null,
    sourceAsOf,
    localLedger: true,
  };
}

/** A day of catch-up's own that may be missed is skipped when its time is up, whatever decides on others. */
function decideWithinOf({ critical, decideWithin }: PipelineDefinition, { startedBy }: PartitionInput) {
  return decideWithin && !critical && startedBy === 'catch-up'
    ? { ...decideWithin, action: 'skip' as const }
    : decideWithin;
}

/**
 * The query that tells when the source of each day last changed; null where a pipeline has none.
 * @throws PartitionError when the vars do not fit the pipeline.
 */
export function renderFreshness(
  definition: PipelineDefinition,
  overrides: Record<string, string> = {},
): FreshnessQuery | null {
  if (definition.freshness === null) return null;
  const vars = effectiveVars(definition, overrides);
  const { sql, project, location, dataset } = definition.freshness;
  return {
    pipeline: variantName(definition.name, overrides),
    sql,
    project: project ?? vars.project_id!, // one of both is there: checks.ts
    location: location ?? vars.location ?? null,
    dataset: dataset ?? vars.dataset ?? null,
  };
}

/**
 * The projects in which a pipeline's steps run BigQuery jobs, as far as its file tells: the var `project_id`, and those
 * that steps name.
 */
export function renderProjects(definition: PipelineDefinition): string[] {
  const values = valuesOfFirst(definition);
  const named = worksOf(definition).flatMap(({ uses, with: { project } }) =>
    uses === 'bigquery/query' && typeof project === 'string' ? [project] : [],
  );
  const projects = substitute([values.vars.project_id ?? [], named].flat(), values) as Json[];
  return [...new Set(projects.filter((project) => typeof project === 'string'))];
}

/** The Dagster deployments that a pipeline's steps have their jobs run by, each once. */
export function renderDeployments(definition: PipelineDefinition): { url: string; headers: Record<string, string> }[] {
  const named = worksOf(definition).flatMap(({ uses, with: { mode, url = '', headers = {} } }) =>
    uses === 'dagster/job' && mode === 'graphql' ? [{ url, headers }] : [],
  );
  const deployments = substitute(named, valuesOfFirst(definition)) as ReturnType<typeof renderDeployments>;
  return [...new Map(deployments.map((deployment) => [deployment.url, deployment])).values()];
}

function worksOf({ steps }: PipelineDefinition): Work[] {
  return steps.flatMap((step) => [
    step,
    ...step.afterFix,
    ...step.cleanup,
    ...step.remedies.flatMap((remedy) => remedy.run),
  ]);
}

/** For what is the same in every partition. */
function valuesOfFirst(definition: PipelineDefinition): TemplateValues {
  return templateValues(definition, { pipeline: definition.name, partition: firstPartition(definition) }, undefined);
}

/**
 * What a fix may do in one run of a pipeline.
 * @throws PartitionError when the pipeline has no `fixes:` or no project.
 */
export function renderFixRules(definition: PipelineDefinition, overrides: Record<string, string> = {}): FixRules {
  if (definition.fixes === null) {
    throw new PartitionError(
      `${definition.name} allows no SQL fixes: add fixes: { datasets: [...] } to its pipeline.yaml.`,
    );
  }
  const { autoApply: _, ...rules } = definition.fixes;
  const { project_id: project, location = null, dataset = null } = effectiveVars(definition, overrides);
  if (project === undefined) {
    throw new PartitionError(`${definition.name} has no var project_id: fixes run in the project that it names.`);
  }
  return { ...rules, project, location, dataset };
}

/** The step that runs a fix: `<step>.fix.<n>`. */
export function renderFix(
  stepId: string,
  n: number,
  source: StepWith<'bigquery/fix'>['source'],
  rules: FixRules,
  tests: { evidence: string | null; standsIn: boolean },
): RenderedStep {
  const title = 'file' in source ? source.file.split('/').at(-1)! : `SQL ${source.sha256.slice(0, 12)}`;
  const fix: StepWith<'bigquery/fix'> = { source, rules, ...tests };
  return {
    id: `${stepId}.fix.${n}`,
    title: `fix: ${title}`,
    uses: FIX_KIND,
    with: fix as unknown as Record<string, Json>,
    timeoutMs: FIX_TIMEOUT_MS,
    retry: FIX_RETRY,
    afterFix: [],
  };
}

/**
 * What checks the uploads of one run of a pipeline; null without `verify:`.
 * @param folder where the place was copied to.
 * @throws PartitionError when the vars do not fit.
 */
export function renderVerify(
  definition: PipelineDefinition,
  overrides: Record<string, string> | undefined,
  folder: string,
): VerifyDefinition | null {
  if (definition.verify === null) return null;
  const vars: Record<string, string> = effectiveVars(definition, overrides);
  const resolved = (text: string) =>
    text.replace(/\$\{(?:vars\.(\w+)|folder)\}/g, (_, name?: string) => (name === undefined ? folder : vars[name]!));
  const { from, run, cwd } = definition.verify;
  const [program, ...args] = run.map(resolved);
  return { from: resolved(from), run: [program!, ...args], cwd: cwd === null ? null : resolved(cwd) };
}

/**
 * The steps of the remedies that cover a failure. Their ids are `<step>.<remedy>.<n>`, where n goes on counting when a remedy
 * is applied again: a second application is new work, not a retry of the first.
 * @param used how often each remedy was applied before.
 * @param evidence where the failing tests are described; see `StepFailure.evidence`.
 * @throws PartitionError when the input does not fit the pipeline.
 */
export function renderRemedyRun(
  definition: PipelineDefinition,
  input: PartitionInput,
  stepId: string,
  remedies: Remedy[],
  used: Record<string, number>,
  previousState: Json | undefined,
  evidence: string | null,
): RemedyPlan {
  const values = templateValues(definition, input, previousState);
  const limits = definition.steps.find(({ id }) => id === stepId)?.limits ?? null;
  return {
    ids: remedies.map((remedy) => remedy.id),
    run: remedies.flatMap((remedy) =>
      remedy.run.map((work, index) => {
        const n = (used[remedy.id] ?? 0) * remedy.run.length + index + 1;
        const id = `${stepId}.${remedy.id}.${n}`;
        const rendered = renderWork(work, { id, title: remedyTitle(remedy, work), limits }, values);
        if (definition.fixes === null) return rendered;
        const standsIn = remedy.then === 'continue' && index === remedy.run.length - 1;
        return guarded(rendered, renderFixRules(definition, input.vars), { evidence, standsIn });
      }),
    ),
    // One that asks for the step to run again decides: only when all stand in for the step is it done.
    then: remedies.every((remedy) => remedy.then === 'continue') ? 'continue' : 'retry',
  };
}

/** Whether any step or remedy refers to what the partition before handed on. */
export function needsPreviousState(definition: PipelineDefinition): boolean {
  const works = definition.steps.flatMap((step): Work[] => [
    step,
    ...step.remedies.flatMap((remedy) => remedy.run),
    ...step.afterFix,
    ...step.cleanup,
  ]);
  return works.some((work) =>
    [...textsIn(work.with)].some(({ text }) => referencesIn(text).some((name) => name.startsWith('previous.'))),
  );
}

/**
 * The vars of one start: the file's, with the overrides that the file allows.
 * @throws PartitionError for a var that is unknown, fixed, or does not match its pattern.
 */
export function effectiveVars(
  definition: PipelineDefinition,
  overrides: Record<string, string> = {},
): Record<string, string> {
  const vars = Object.fromEntries(Object.entries(definition.vars).map(([name, { default: value }]) => [name, value]));
  for (const [name, value] of Object.entries(overrides)) {
    const declared = Object.hasOwn(definition.vars, name) ? definition.vars[name] : undefined;
    if (declared === undefined) throw new PartitionError(`${definition.name} has no var ${name}.`);
    if (!declared.overridable) {
      throw new PartitionError(
        `The var ${name} of ${definition.name} is fixed; mark it overridable: true in the pipeline file.`,
      );
    }
    if (declared.pattern !== null && !new RegExp(`^(?:${declared.pattern})$`).test(value)) {
      throw new PartitionError(`The var ${name} must match ${declared.pattern}; ${JSON.stringify(value)} does not.`);
    }
    vars[name] = value;
  }
  return vars;
}

/**
 * The pipeline as a start with these vars has it: its calendar may depend on them.
 * @throws PartitionError when they do not fit.
 */
export function forVars(definition: PipelineDefinition, overrides: Record<string, string> = {}): PipelineDefinition {
  return { ...definition, calendar: calendarOf(definition.calendarText, effectiveVars(definition, overrides)) };
}

/**
 * Place of a step; 0 when none is asked for.
 * @throws PartitionError when the pipeline has no such step.
 */
export function stepIndex(definition: PipelineDefinition, fromStep: string | undefined): number {
  if (fromStep === undefined) return 0;
  const index = definition.steps.findIndex((step) => step.id === fromStep);
  if (index < 0) {
    const ids = definition.steps.map((step) => step.id).join(', ');
    throw new PartitionError(`${definition.name} has no step ${JSON.stringify(fromStep)}; expected one of ${ids}.`);
  }
  return index;
}

function templateValues(
  definition: PipelineDefinition,
  input: PartitionInput,
  previousState: Json | undefined,
): TemplateValues {
  return {
    pipeline: variantName(input.pipeline, input.vars),
    partition: boundsOf(definition, input.partition),
    isFirst: previousPartition(definition, input.partition) === null,
    vars: effectiveVars(definition, input.vars),
    previousState,
  };
}

/** The SQL of a remedy is a fix like any other: where the pipeline says what fixes may do, the guard checks it. */
function guarded(
  step: RenderedStep,
  rules: FixRules,
  tests: { evidence: string | null; standsIn: boolean },
): RenderedStep {
  if (step.uses !== 'bigquery/query') return step;
  const { file, project, location, dataset, ...anywhere } = step.with as StepWith<'bigquery/query'>;
  const own = {
    ...rules,
    project: project ?? rules.project,
    location: location ?? rules.location,
    dataset: dataset ?? rules.dataset,
  };
  const fix: StepWith<'bigquery/fix'> = { ...anywhere, source: { file }, rules: own, ...tests };
  return { ...step, uses: FIX_KIND, with: fix as unknown as Record<string, Json> };
}

function renderStep(
  { id, title, limits, afterFix, cleanup, ...work }: StepDefinition,
  values: TemplateValues,
): RenderedStep {
  return {
    ...renderWork(work, { id, title, limits }, values),
    afterFix: afterFix.map((after, index) =>
      renderWork(after, { id: `${id}.after-fix.${index + 1}`, title: `${title}, after a fix`, limits }, values),
    ),
    cleanup: cleanup.map((after, index) =>
      renderWork(after, { id: `${id}.cleanup.${index + 1}`, title: `${title}, cleanup`, limits: null }, values),
    ),
  };
}

function renderWork(
  work: Work,
  { id, title, limits }: Pick<StepDefinition, 'id' | 'title' | 'limits'>,
  values: TemplateValues,
): RenderedStep {
  return {
    id,
    title,
    uses: work.uses,
    with: renderWith(id, work, values),
    timeoutMs: work.timeoutMs,
    retry: work.retry,
    afterFix: [],
    ...(limits !== null && { limits: renderLimits(id, limits, values) }),
  };
}

/** Names of tables come to be by substitution, so what they are then is checked. */
function renderLimits(id: string, { tempTables, ...limits }: LimitsDefinition, values: TemplateValues): StepLimits {
  return {
    ...limits,
    tempTables: tempTables.map((table) => {
      const named = {
        project: table.project ?? values.vars.project_id!,
        dataset: table.dataset ?? values.vars.dataset!,
        like: table.like,
      };
      const rendered = substitute(named, values) as typeof named;
      for (const [name, pattern] of Object.entries(NAMES_OF_TABLES)) {
        const value = rendered[name as keyof typeof named];
        if (pattern.test(value)) continue;
        throw new PartitionError(
          `Step ${id} cannot run for ${values.partition.key}: limits.temp_tables.${name} is not usable: ${JSON.stringify(value)}.`,
        );
      }
      return { ...table, ...rendered };
    }),
  };
}

/** Kinds whose project, location and dataset are the pipeline's vars where they name none. */
const QUERY_KINDS: readonly string[] = ['bigquery/query', 'check/reconcile'];

/** Substitution can make a value that its kind refuses, so the result is checked like the file was. */
function renderWith(id: string, step: Work, values: TemplateValues): Record<string, Json> {
  const given = QUERY_KINDS.includes(step.uses) ? { ...bigqueryDefaults(values.vars), ...step.with } : step.with;
  const rendered = substitute(given, values) as Record<string, Json>;
  if (step.uses === 'command') rendered.run = (rendered.run as Json[]).map(asText);
  const checked = stepKinds[step.uses].safeParse(rendered);
  if (!checked.success) {
    const issue = checked.error.issues[0]!;
    throw new PartitionError(
      `Step ${id} cannot run for ${values.partition.key}: with.${issue.path.join('.')} is not usable: ${issue.message}.`,
    );
  }
  return checked.data as Record<string, Json>;
}

function bigqueryDefaults(vars: Record<string, string>): Record<string, string> {
  const entries = [
    ['project', vars.project_id],
    ['location', vars.location],
    ['dataset', vars.dataset],
  ].filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries);
}

function remedyTitle(remedy: Remedy, work: Work): string {
  const file = typeof work.with.file === 'string' ? work.with.file.split('/').at(-1)! : work.uses;
  return `${remedy.id}: ${file}`;
}
