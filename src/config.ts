import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';

/** Where the embedded stack and docker-compose listen when nothing else holds the port; all on the loopback. */
export const DEFAULT_PORTS = { temporal: 7233, temporalUi: 8233, bigquery: 9050, storage: 9023 } as const;

/**
 * Every environment variable that dayfill reads, with what it means. Temporal's own (`TEMPORAL_*`) are read by its SDK, and
 * keys where they are used: a configuration holds no secret.
 */
export const ENVIRONMENT_VARIABLES = {
  DAYFILL_PIPELINES: 'Folder of pipeline folders. Default: pipelines',
  DAYFILL_STATE_DIR: 'Folder for logs, run files and the embedded stack. Default: .dayfill',
  DAYFILL_VENV: 'Python environment of steps that name none. Default: <state dir>/venv',
  DAYFILL_BIGQUERY_ENDPOINT:
    'BigQuery emulator, e.g. http://127.0.0.1:9050. Default: the embedded stack, if there is one',
  DAYFILL_STORAGE_ENDPOINT: 'Cloud Storage emulator. Default: the embedded stack, if there is one',
  DAYFILL_LEDGER:
    'Project and dataset of the ledger, e.g. my-project.dayfill; needed on the real BigQuery. Default on the emulator: dayfill-local.dayfill',
  DAYFILL_LOCATION: 'BigQuery location of the ledger. Default: US',
  DAYFILL_LOG_LEVEL: 'How much the worker and serve log: debug, info, warn, error. Default: info',
  DAYFILL_MAX_STEPS: 'Steps that one worker runs at once. Default: 20',
  DAYFILL_PRICE_PER_TIB_USD: 'Dollars per TiB that BigQuery bills. Default: 6.25, or 0 where slot-hours have a price',
  DAYFILL_PRICE_PER_SLOT_HOUR_USD: 'Dollars per slot-hour, where slots are paid for. Default: 0',
  DAYFILL_ADVISER: 'Who suggests fixes: rules, or model (a language model first, then the rules). Default: rules',
  DAYFILL_ADVISER_MODEL:
    'The model, as provider/model; providers are anthropic and openai. Default: anthropic/claude-sonnet-4-5',
  DAYFILL_ADVISER_URL: "Base URL of a proxy that speaks as the model's provider does. Default: the provider",
  DAYFILL_API_TOKEN:
    'Tokens that callers of dayfill serve come with, separated by commas, of at least 16 characters each',
  NODE_ENV: 'Where it is production, dayfill serve does not tell its schema',
  ANTHROPIC_API_KEY: 'Key of the model, where its provider is anthropic',
  OPENAI_API_KEY: 'Key of the model, where its provider is openai',
  TEMPORAL_ADDRESS: 'Temporal server. Default: temporal.toml, else the embedded stack',
  TEMPORAL_NAMESPACE: 'Temporal namespace. Default: default',
} as const;
export type EnvironmentVariable = keyof typeof ENVIRONMENT_VARIABLES;

/** A setting that cannot be used; the message names the variable and what was expected. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** Addresses of the embedded stack, as `stack up` recorded them. */
export interface StackAddresses {
  temporal?: string | undefined;
  temporalUi?: string | undefined;
  bigquery?: string | undefined;
  storage?: string | undefined;
}

export interface LedgerPlace {
  project: string;
  dataset: string;
  location: string;
}

/** What the warehouse costs, in dollars. */
export interface Prices {
  perTibUsd: number;
  perSlotHourUsd: number;
}

export interface AdviserSettings {
  kind: 'rules' | 'model';
  /** `provider/model`. */
  model: string;
  /** Null for the provider's own. */
  url: string | null;
}

export interface Config {
  pipelinesDir: string;
  stateDir: string;
  venv: string;
  /** Null means the real BigQuery. */
  bigqueryEndpoint: string | null;
  storageEndpoint: string | null;
  /** Null on the real BigQuery while nobody said where; see `ledgerPlace`. */
  ledger: LedgerPlace | null;
  /** `host:port` of the embedded stack's Temporal, for when neither the environment nor temporal.toml names one. */
  stackTemporal: string | null;
  /** Address of the embedded Web UI, when it is known. */
  temporalUi: string | null;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  maxSteps: number;
  prices: Prices;
  adviser: AdviserSettings;
}

const endpoint = z.url({ protocol: /^https?$/, error: 'expected a URL such as http://127.0.0.1:9050' });
const price = z
  .string()
  .regex(/^\d{1,6}(\.\d{1,6})?$/, 'expected dollars such as 6.25')
  .transform(Number)
  .optional();
const environmentSchema = z.object({
  DAYFILL_PIPELINES: z.string().min(1).default('pipelines'),
  DAYFILL_STATE_DIR: z.string().min(1).default('.dayfill'),
  DAYFILL_VENV: z.string().min(1).optional(),
  DAYFILL_BIGQUERY_ENDPOINT: endpoint.optional(),
  DAYFILL_STORAGE_ENDPOINT: endpoint.optional(),
  DAYFILL_LEDGER: z
    .string()
    .regex(/^[a-z][a-z0-9-]{4,28}[a-z0-9]\.[A-Za-z0-9_]+$/, 'expected project.dataset, e.g. my-project.dayfill')
    .optional(),
  DAYFILL_LOCATION: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9-]*$/, 'expected a BigQuery location, e.g. US')
    .default('US'),
  DAYFILL_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error'], 'expected debug, info, warn or error').default('info'),
  DAYFILL_MAX_STEPS: z
    .string()
    .regex(/^([1-9]\d{0,2}|1000)$/, 'expected a whole number from 1 to 1000')
    .default('20')
    .transform(Number),
  DAYFILL_PRICE_PER_TIB_USD: price,
  DAYFILL_PRICE_PER_SLOT_HOUR_USD: price,
  DAYFILL_ADVISER: z.enum(['rules', 'model'], 'expected rules or model').default('rules'),
  DAYFILL_ADVISER_MODEL: z
    .string()
    .regex(/^(?:anthropic|openai)\/[\w.:-]+$/, 'expected anthropic/<model> or openai/<model>')
    .default('anthropic/claude-sonnet-4-5'),
  DAYFILL_ADVISER_URL: endpoint.optional(),
});

/**
 * Reads the environment once.
 * @throws ConfigError naming the variable and what was expected.
 */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env, cwd = process.cwd()): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = environmentSchema.safeParse(given);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new ConfigError(`${issue.path.join('.')} is not usable: ${issue.message}.`);
  }
  const env = parsed.data;
  const stateDir = path.resolve(cwd, env.DAYFILL_STATE_DIR);
  const stack = readStackAddresses(stateDir);
  const bigqueryEndpoint = env.DAYFILL_BIGQUERY_ENDPOINT ?? stack.bigquery ?? null;
  const ledger = env.DAYFILL_LEDGER ?? (bigqueryEndpoint === null ? null : 'dayfill-local.dayfill');
  const [project = '', dataset = ''] = ledger?.split('.') ?? [];
  return {
    pipelinesDir: path.resolve(cwd, env.DAYFILL_PIPELINES),
    stateDir,
    venv: path.resolve(cwd, env.DAYFILL_VENV ?? path.join(stateDir, 'venv')),
    bigqueryEndpoint,
    storageEndpoint: env.DAYFILL_STORAGE_ENDPOINT ?? stack.storage ?? null,
    ledger: ledger === null ? null : { project, dataset, location: env.DAYFILL_LOCATION },
    stackTemporal: stack.temporal ?? null,
    temporalUi: stack.temporalUi ?? null,
    logLevel: env.DAYFILL_LOG_LEVEL,
    maxSteps: env.DAYFILL_MAX_STEPS,
    prices: {
      // Who pays for slots does not pay for bytes.
      perTibUsd: env.DAYFILL_PRICE_PER_TIB_USD ?? (env.DAYFILL_PRICE_PER_SLOT_HOUR_USD === undefined ? 6.25 : 0),
      perSlotHourUsd: env.DAYFILL_PRICE_PER_SLOT_HOUR_USD ?? 0,
    },
    adviser: {
      kind: env.DAYFILL_ADVISER,
      model: env.DAYFILL_ADVISER_MODEL,
      url: env.DAYFILL_ADVISER_URL ?? null,
    },
  };
}

/**
 * Where the ledger is.
 * @throws ConfigError when neither an emulator nor the environment says it.
 */
export function ledgerPlace(config: Pick<Config, 'ledger'>): LedgerPlace {
  if (config.ledger !== null) return config.ledger;
  throw new ConfigError(
    'No place for the ledger: start the stack with "dayfill stack up", or set DAYFILL_LEDGER=project.dataset for the real BigQuery.',
  );
}

/** Where `stack up` records what it started. */
export function stackFile(stateDir: string): string {
  return path.join(stateDir, 'stack.json');
}

const stackFileSchema = z.object({ services: z.array(z.object({ name: z.string(), address: z.string() })) });

function parsedStackFile(file: string, text: string): z.output<typeof stackFileSchema> {
  try {
    return stackFileSchema.parse(JSON.parse(text));
  } catch {
    throw new ConfigError(`${file} is damaged: end what it started, remove it, and run "dayfill stack up".`);
  }
}

function readStackAddresses(stateDir: string): StackAddresses {
  let text: string;
  try {
    text = readFileSync(stackFile(stateDir), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  const { services } = parsedStackFile(stackFile(stateDir), text);
  const address = (name: string) => services.find((service) => service.name === name)?.address;
  return {
    temporal: address('temporal'),
    temporalUi: address('temporal-ui'),
    bigquery: address('bigquery'),
    storage: address('storage'),
  };
}
