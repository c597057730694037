import { z } from 'zod';

/** Milliseconds to answer: the webserver asks the code location, which may have to load the project first. */
const ANSWER_MS = 60_000;
const EVENTS_AT_ONCE = 1000;

/** Why Dagster did not do what it was asked; the message is one sentence. */
export class DagsterError extends Error {
  override name = 'DagsterError';

  constructor(
    message: string,
    /** `transient`: another try may succeed; `missing`: there is no such job or run. */
    readonly reason: 'transient' | 'missing' | 'refused',
  ) {
    super(message);
  }
}

/** Where a job is: its code location and repository. */
export interface JobPlace {
  location: string;
  repository: string;
  job: string;
}

const OPEN = ['QUEUED', 'NOT_STARTED', 'MANAGED', 'STARTING', 'STARTED', 'SUSPENDED', 'CANCELING'] as const;
const OVER = ['SUCCESS', 'FAILURE', 'CANCELED'] as const;
const status = z.enum([...OPEN, ...OVER]);
export type DagsterStatus = z.output<typeof status>;
const run = z.object({ runId: z.string(), status });
/** A run with what became of it so far. */
export type DagsterRun = z.output<typeof run>;

/** Whether a run of this status does nothing any more. */
export function isOver(status: DagsterStatus): boolean {
  return OVER.some((each) => each === status);
}

const error = z.object({ message: z.string(), className: z.string().nullish() });
const event = z.object({
  eventType: z.string().nullish(),
  timestamp: z.string(),
  stepKey: z.string().nullish(),
  message: z.string(),
  error: error.extend({ cause: error.nullish() }).nullish(),
  failureMetadata: z.object({ description: z.string().nullish() }).nullish(),
  assetKey: z.object({ path: z.array(z.string()) }).nullish(),
  metadataEntries: z
    .array(z.object({ label: z.string(), intRepr: z.string().nullish(), floatRepr: z.string().nullish() }))
    .nullish(),
});
/** An entry of a run's event log. */
export type DagsterLogEntry = z.output<typeof event>;
const news = z.object({
  status,
  stepKeysToExecute: z.array(z.string()).nullish(),
  eventConnection: z.object({ cursor: z.string(), hasMore: z.boolean(), events: z.array(event) }),
});
export type RunNews = z.output<typeof news>;

const REFUSAL = '... on Error { message } ... on PythonError { className }';
const JOBS = `query Jobs { repositoriesOrError { __typename ${REFUSAL}
  ... on RepositoryConnection { nodes { name location { name } pipelines { name } } } } }`;
const LOCATIONS = `query Locations { workspaceOrError { __typename ${REFUSAL}
  ... on Workspace { locationEntries { name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }`;
const PARTITION = `query Partition($job: PipelineSelector!, $partition: String!) { pipelineOrError(params: $job) { __typename ${REFUSAL}
  ... on Pipeline { partitionKeysOrError { partitionKeys } partition(partitionName: $partition) { runConfigOrError { __typename ${REFUSAL} ... on PartitionRunConfig { yaml } } } } } }`;
const LAUNCH = `mutation Launch($run: ExecutionParams!) { launchRun(executionParams: $run) { __typename ${REFUSAL}
  ... on LaunchRunSuccess { run { runId } } ... on RunConfigValidationInvalid { errors { message } } } }`;
const RUNS = `query Runs($filter: RunsFilter!) { runsOrError(filter: $filter) { __typename ${REFUSAL}
  ... on Runs { results { runId status } } } }`;
const NEWS = `query News($runId: ID!, $cursor: String, $first: Boolean!) { runOrError(runId: $runId) { __typename ${REFUSAL}
  ... on Run { status stepKeysToExecute @include(if: $first)
    eventConnection(afterCursor: $cursor, limit: ${EVENTS_AT_ONCE}) { cursor hasMore events {
      ... on MessageEvent { eventType timestamp stepKey message }
      ... on ErrorEvent { error { message className cause { message className } } }
      ... on ExecutionStepFailureEvent { failureMetadata { description } }
      ... on MaterializationEvent { assetKey { path } metadataEntries { ...Number } }
      ... on ObservationEvent { assetKey { path } }
      ... on ExecutionStepOutputEvent { metadataEntries { ...Number } }
    } } } } }
  fragment Number on MetadataEntry { label ... on IntMetadataEntry { intRepr } ... on FloatMetadataEntry { floatRepr } }`;
const TERMINATE = `mutation Terminate($runId: String!) { terminateRun(runId: $runId) { __typename ${REFUSAL}
  ... on TerminateRunFailure { message } } }`;

const answer = z.object({
  data: z.record(z.string(), z.unknown()).nullish(),
  errors: z.array(z.object({ message: z.string() })).optional(),
});
const refusal = z.object({
  __typename: z.string().optional(),
  message: z.string().optional(),
  className: z.string().nullish(),
  errors: z.array(z.object({ message: z.string() })).optional(),
});
const repositories = z.object({
  nodes: z.array(
    z.object({
      name: z.string(),
      location: z.object({ name: z.string() }),
      pipelines: z.array(z.object({ name: z.string() })),
    }),
  ),
});
const locations = z.object({
  locationEntries: z.array(
    z.object({
      name: z.string(),
      loadStatus: z.enum(['LOADED', 'LOADING']),
      locationOrLoadError: z.object({ message: z.string().optional() }).nullable(),
    }),
  ),
});
const partitionConfig = z.object({
  partitionKeysOrError: z.object({ partitionKeys: z.array(z.string()) }),
  partition: z.object({ runConfigOrError: z.looseObject({ yaml: z.string().optional() }) }),
});

/** A Dagster deployment, asked by the GraphQL API of its webserver. Every method throws DagsterError. */
export class DagsterDeployment {
  private readonly address: string;

  /** @param headers environment variables with the values of headers, by the names of these. */
  constructor(
    url: string,
    private readonly headers: Readonly<Record<string, string>>,
  ) {
    this.address = url.replace(/\/+$/, '');
  }

  /** Where people look at a run. */
  runUrl(runId: string): string {
    return `${this.address}/runs/${runId}`;
  }

  /** The version of Dagster there. */
  version(): Promise<string> {
    return this.ask(null, z.string(), 'query Version { version }');
  }

  /** Finds the only job of that name, in the location and the repository if they are given. */
  async findJob(named: {
    job: string;
    location?: string | undefined;
    repository?: string | undefined;
  }): Promise<JobPlace> {
    const { nodes } = await this.ask('RepositoryConnection', repositories, JOBS);
    const { job, location, repository } = named;
    const fitting = nodes.filter(
      (node) =>
        (location === undefined || node.location.name === location) &&
        (repository === undefined || node.name === repository),
    );
    const [only, ...more] = fitting.filter(({ pipelines }) => pipelines.some(({ name }) => name === job));
    if (only === undefined) {
      await this.checkLoaded(job, location);
      const where = [location && ` in the code location ${location}`, repository && ` in the repository ${repository}`];
      const known = fitting.flatMap(({ pipelines }) => pipelines.map(({ name }) => name)).sort();
      const there = known.length === 0 ? 'no job' : known.slice(0, 20).join(', ');
      throw new DagsterError(
        `${this.named} has no job ${job}${where.map((place) => place ?? '').join('')}; it has ${there}.`,
        'missing',
      );
    }
    if (more.length > 0) {
      const places = [only, ...more].map(({ name, location }) => `${name} of ${location.name}`).join(', ');
      throw new DagsterError(
        `${this.named} has several jobs ${job}: name the location and the repository, which are ${places}.`,
        'missing',
      );
    }
    return { location: only.location.name, repository: only.name, job };
  }

  /** Jobs of a code location that is being deployed are not there for the moment. */
  private async checkLoaded(job: string, location: string | undefined): Promise<void> {
    const { locationEntries } = await this.ask('Workspace', locations, LOCATIONS);
    const missing = locationEntries
      .filter(({ name }) => location === undefined || name === location)
      .find(({ loadStatus, locationOrLoadError: found }) => loadStatus === 'LOADING' || found?.message !== undefined);
    if (missing === undefined) return;
    const why = missing.locationOrLoadError?.message?.replace(/\s+/g, ' ').trim() ?? 'it is still being loaded';
    throw new DagsterError(
      `${this.named} has no job ${job} while its code location ${missing.name} is not loaded: ${why}`,
      'transient',
    );
  }

  /** The run config, as YAML, that a partitioned job has for a partition; of any other job it is empty. */
  async partitionConfig({ location, repository, job }: JobPlace, partition: string): Promise<string> {
    const selector = { repositoryLocationName: location, repositoryName: repository, pipelineName: job };
    const found = await this.ask('Pipeline', partitionConfig, PARTITION, { job: selector, partition });
    const { partitionKeys: keys } = found.partitionKeysOrError;
    if (keys.length > 0 && !keys.includes(partition)) {
      const there = `${keys[0]} to ${keys.at(-1)}`;
      throw new DagsterError(`The job ${job} has no partition ${partition} in Dagster; it has ${there}.`, 'refused');
    }
    const config = found.partition.runConfigOrError;
    if (config.yaml === undefined) throw this.refused(config);
    return config.yaml;
  }

  /** Launches a run and gives its id. Dagster takes none from outside: whether there is a run already is to be found out by its tags. */
  async launch(
    { location, repository, job }: JobPlace,
    runConfig: string,
    tags: Readonly<Record<string, string>>,
  ): Promise<string> {
    const selector = { repositoryLocationName: location, repositoryName: repository, jobName: job };
    const params = { selector, runConfigData: runConfig, executionMetadata: { tags: asList(tags) } };
    const launched = z.object({ run: z.object({ runId: z.string() }) });
    return (await this.ask('LaunchRunSuccess', launched, LAUNCH, { run: params })).run.runId;
  }

  /** Runs with all of the tags, the newest first. */
  runsTagged(tags: Readonly<Record<string, string>>, which: 'all' | 'open'): Promise<DagsterRun[]> {
    return this.runs({ tags: asList(tags), ...(which === 'open' && { statuses: OPEN }) });
  }

  /** What became of a run; null when it has been deleted. */
  async find(runId: string): Promise<DagsterRun | null> {
    return (await this.runs({ runIds: [runId] }))[0] ?? null;
  }

  /** The status of a run, then the events of its log after the cursor; without a cursor its steps too. */
  news(runId: string, cursor: string | null): Promise<RunNews> {
    return this.ask('Run', news, NEWS, { runId, cursor, first: cursor === null });
  }

  /** Asks for the end of a run, which comes later; gives why it was refused, or null. */
  async terminate(runId: string): Promise<string | null> {
    const answered = z.object({ __typename: z.string(), message: z.string().optional() });
    const { __typename: type, message = type } = await this.ask(null, answered, TERMINATE, { runId });
    return type === 'TerminateRunSuccess' ? null : message;
  }

  private async runs(filter: object): Promise<DagsterRun[]> {
    return (await this.ask('Runs', z.object({ results: z.array(run) }), RUNS, { filter })).results;
  }

  /** The one field that a query asks for, when it is of the expected type; null for one that has no other. */
  private async ask<S extends z.ZodType>(
    type: string | null,
    schema: S,
    query: string,
    variables: object = {},
  ): Promise<z.output<S>> {
    const { data, errors } = await this.post({ query, variables });
    const [field] = Object.values(data ?? {});
    if (field == null) throw this.refused({ errors });
    if (type !== null && refusal.parse(field).__typename !== type) throw this.refused(field);
    return schema.parse(field);
  }

  private refused(said: unknown): DagsterError {
    const { __typename: type = '', message, className, errors = [] } = refusal.parse(said);
    const why = (message ?? errors.map((each) => each.message).join('; ')).replace(/\s+/g, ' ').trim();
    const reason = type.endsWith('NotFoundError')
      ? 'missing'
      : className === 'DagsterUserCodeUnreachableError'
        ? 'transient'
        : 'refused';
    return new DagsterError(`${this.named} refused what it was asked: ${why || 'no reason was given'}`, reason);
  }

  private async post(body: object): Promise<z.output<typeof answer>> {
    const headers = { 'content-type': 'application/json', 'user-agent': 'dayfill', ...this.secretHeaders() };
    const { status, text } = await this.send({ method: 'POST', headers, body: JSON.stringify(body) });
    const parsed = answer.safeParse(parsedJson(text));
    // Dagster answers with 4xx and 5xx too when it has an answer, such as an error in a project's code.
    if (parsed.success && (parsed.data.data != null || parsed.data.errors !== undefined)) return parsed.data;
    if (status >= 500 || status === 408 || status === 429)
      throw new DagsterError(`${this.named} answered ${status}.`, 'transient');
    if (status === 401 || status === 403)
      throw new DagsterError(`${this.named} let nobody in (${status}): see to the headers of the step.`, 'refused');
    throw new DagsterError(
      `${this.named} is no dagster-webserver: it answered ${status} at /graphql; see to the url of the step.`,
      'refused',
    );
  }

  /** Redirects are not followed: secrets go where they were sent, or nowhere. */
  private async send(request: RequestInit): Promise<{ status: number; text: string }> {
    try {
      const response = await fetch(`${this.address}/graphql`, {
        ...request,
        redirect: 'manual',
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      if ((error as Error).name === 'TimeoutError')
        throw new DagsterError(`${this.named} did not answer within ${ANSWER_MS / 1000} seconds.`, 'transient');
      const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
      throw new DagsterError(`${this.named} cannot be reached${code === undefined ? '' : ` (${code})`}.`, 'transient');
    }
  }

  private secretHeaders(): Record<string, string> {
    const entries = Object.entries(this.headers).map(([name, variable]) => {
      const value = process.env[variable] ?? '';
      if (/^[\x20-\x7e]+$/.test(value)) return [name, value];
      const what = value === '' ? 'is not set where the worker runs' : 'does not hold what a header can have';
      throw new DagsterError(`The environment variable ${variable}, for the header ${name}, ${what}.`, 'refused');
    });
    return Object.fromEntries(entries);
  }

  private get named(): string {
    return `Dagster at ${this.address}`;
  }
}

function asList(tags: Readonly<Record<string, string>>): { key: string; value: string }[] {
  return Object.entries(tags).map(([key, value]) => ({ key, value }));
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
