import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Client } from '@temporalio/client';
import { type Config, ledgerPlace } from '../config.js';
import { SEARCH_ATTRIBUTE_NAMES } from '../contracts/search-attributes.js';
import { listPipelines, loadPipeline } from '../pipeline/load.js';
import { renderDeployments } from '../pipeline/render.js';
import { DagsterDeployment } from '../runners/dagster-deployment.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { clearTemporalError, connectClient, temporalConnectConfig } from './connection.js';
import { openClearLedger } from './open.js';
import { workerPolls } from './workers.js';

/** One thing that must be right; `message` says what was found, or what to do. */
export interface Check {
  name: string;
  ok: boolean;
  message: string;
}

/** What a check found; throws with what to do. */
type Look = () => Promise<string> | string;

const PATIENCE_MS = 60_000;
const ANSWER_MS = 3000;
const IMPORTS = `
import importlib.metadata as m, dagster, dbt.cli.main, dbt.adapters.bigquery
print(", ".join(f"{p} {m.version(p)}" for p in ("dbt-core", "dbt-bigquery", "dagster")))`;

/** Looks at everything that dayfill needs, each thing by itself, in the order to mend them. */
export async function examine(config: Config): Promise<Check[]> {
  const [setUp, temporal, warehouse] = await Promise.all([
    Promise.all([check('node', nodeVersion), check('python', () => python(config))]),
    temporalChecks(config),
    Promise.all([
      check('bigquery', () => bigquery(config)),
      check('storage', () => storage(config)),
      check('ledger', () => ledger(config)),
    ]),
  ]);
  return [...setUp, ...temporal, ...warehouse, ...(await pipelineChecks(config))];
}

async function check(name: string, look: Look): Promise<Check> {
  try {
    return { name, ok: true, message: await look() };
  } catch (error) {
    return { name, ok: false, message: (error as Error).message };
  }
}

function nodeVersion(): string {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 3)) return process.versions.node;
  throw new Error(`this is Node ${process.versions.node}: install 20.3 or later`);
}

async function python({ venv }: Config): Promise<string> {
  try {
    const interpreter = path.join(venv, 'bin', 'python');
    const { stdout } = await promisify(execFile)(interpreter, ['-c', IMPORTS], { timeout: PATIENCE_MS });
    return `${stdout.trim()} in ${venv}`;
  } catch (error) {
    const { code, stderr = '' } = error as NodeJS.ErrnoException & { stderr?: string };
    const why = code === 'ENOENT' ? 'is not there' : `cannot be used (${stderr.trim().split('\n').at(-1)})`;
    throw new Error(`the Python environment ${venv} ${why}: run "npm run setup", or set DAYFILL_VENV`);
  }
}

/** What depends on a server that does not answer is not looked at: its line says enough. */
async function temporalChecks(config: Config): Promise<Check[]> {
  let connected: { client: Client; namespace: string } | null = null;
  const reachable = await check('temporal', async () => {
    connected = await connectClient(config);
    await connected.client.workflowService.describeNamespace({ namespace: connected.namespace }).catch((error) => {
      throw clearTemporalError(error, config);
    });
    return `namespace ${connected.namespace} at ${temporalConnectConfig(config).connectionOptions.address}`;
  });
  if (connected === null) return [reachable];
  const { client, namespace }: { client: Client; namespace: string } = connected;
  try {
    if (!reachable.ok) return [reachable];
    const rest = await Promise.all([
      check('search attributes', () => searchAttributes(client, namespace)),
      check('worker', () => worker(client, namespace)),
    ]);
    return [reachable, ...rest];
  } finally {
    await client.connection.close();
  }
}

/** Asks as a filter in the Web UI would, which every server allows. */
async function searchAttributes(client: Client, namespace: string): Promise<string> {
  const missing: string[] = [];
  for (const name of SEARCH_ATTRIBUTE_NAMES) {
    await client.workflow.count(`${name} = ""`).catch(() => missing.push(name));
  }
  if (missing.length === 0) return SEARCH_ATTRIBUTE_NAMES.join(', ');
  const names = missing.map((name) => `--name ${name} --type Keyword`).join(' ');
  throw new Error(
    `${missing.join(', ')} missing: run "temporal operator search-attribute create --namespace ${namespace} ${names}"`,
  );
}

async function worker(temporal: Client, namespace: string): Promise<string> {
  if (await workerPolls({ temporal, namespace })) return 'one polls';
  throw new Error('none polls: start one with "dayfill stack up" or "dayfill worker"');
}

async function bigquery(config: Config): Promise<string> {
  const { bigqueryEndpoint: endpoint } = config;
  if (endpoint === null) {
    const { project } = ledgerPlace(config);
    await bigQueryClients(config)(project).getDatasets({ maxResults: 1 });
    return `the real one, project ${project}`;
  }
  return answering(endpoint, 'DAYFILL_BIGQUERY_ENDPOINT');
}

async function storage({ storageEndpoint: endpoint }: Config): Promise<string> {
  return endpoint === null ? 'the real one, which only steps use' : answering(endpoint, 'DAYFILL_STORAGE_ENDPOINT');
}

/** Any HTTP answer will do. */
async function answering(endpoint: string, variable: string): Promise<string> {
  try {
    const response = await fetch(endpoint, { signal: AbortSignal.timeout(ANSWER_MS) });
    await response.body?.cancel();
    return endpoint;
  } catch {
    throw new Error(`nothing answers at ${endpoint}: run "dayfill stack up", or set ${variable}`);
  }
}

async function ledger(config: Config): Promise<string> {
  const { project, dataset } = ledgerPlace(config);
  await openClearLedger(config).latest('doctor');
  return `${project}.${dataset}`;
}

async function pipelineChecks({ pipelinesDir, venv }: Config): Promise<Check[]> {
  let names: string[];
  try {
    names = listPipelines(pipelinesDir);
  } catch (error) {
    return [{ name: 'pipelines', ok: false, message: (error as Error).message }];
  }
  const look = (name: string) => async () => {
    const definition = loadPipeline(pipelinesDir, name, { defaultVenv: venv });
    const { length } = definition.steps;
    const deployments = renderDeployments(definition).map(async ({ url, headers }) => {
      const version = await new DagsterDeployment(url, headers).version();
      return `Dagster ${version} at ${url}`;
    });
    return [length === 1 ? '1 step' : `${length} steps`, ...(await Promise.all(deployments))].join(', ');
  };
  return Promise.all(names.map((name) => check(`pipeline ${name}`, look(name))));
}
