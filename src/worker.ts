import { rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, isGrpcServiceError } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { type Logger, pino } from 'pino';
import { AttemptNotes } from './activities/attempt-notes.js';
import { createActivities } from './activities/index.js';
import { createAdvisers } from './advisers/create-advisers.js';
import { connectClient, temporalConnectConfig } from './client/connection.js';
import { type Config, ledgerPlace, loadConfig } from './config.js';
import { TASK_QUEUE } from './contracts/ids.js';
import { limitWarningSignal } from './contracts/messages.js';
import { SEARCH_ATTRIBUTE_NAMES } from './contracts/search-attributes.js';
import { loadPipeline } from './pipeline/load.js';
import { forVars } from './pipeline/render.js';
import { createRunner } from './runners/create-runner.js';
import { prepareDagsterHome } from './runners/dagster-home.js';
import { bigQueryClients } from './warehouse/bigquery.js';
import { openFixRecords } from './warehouse/fixes/fix-record.js';
import { createQueryGuard, createSqlGuard } from './warehouse/fixes/guard.js';
import { cancelLabelledJobs } from './warehouse/jobs.js';
import { openLedger } from './warehouse/ledger.js';
import { openProtectedTables } from './warehouse/protected-tables.js';
import { openTotalsRecord } from './warehouse/told-totals.js';

/** How long steps under way get to stop when the worker is asked to. */
const SHUTDOWN_GRACE = '10 seconds';

/** gRPC codes PERMISSION_DENIED and UNIMPLEMENTED. */
const UNTOLD = new Set([7, 12]);

/** Says that a worker cannot start, and what to do. */
export class WorkerStartError extends Error {
  override name = 'WorkerStartError';
}

/**
 * Runs a worker until it is told to stop (SIGINT, SIGTERM). Once it polls, it says so in `<state dir>/worker.json`.
 * @throws NoTemporalError, WorkerStartError
 */
export async function runWorker(config: Config): Promise<void> {
  const logger = pino({ level: config.logLevel }, pino.destination({ dest: 2, sync: true }));
  const { project, dataset, location } = ledgerPlace(config);
  await mkdir(config.stateDir, { recursive: true });
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level, message, meta }) => {
      const method = level === 'ERROR' ? 'error' : level === 'WARN' ? 'warn' : level === 'INFO' ? 'info' : 'debug';
      logger[method](meta ?? {}, message);
    }),
  });
  const { client, namespace } = await connectClient(config);
  await requireSearchAttributes(client, namespace, logger);

  const runner = createRunner({ stateDir: config.stateDir, logger });
  await runner.sweep();
  const attemptNotes = new AttemptNotes(config.stateDir, logger);
  await attemptNotes.giveBackLost(client.activity);
  prepareDagsterHome(config.stateDir);
  const clients = bigQueryClients(config);
  const python = path.join(config.venv, 'bin', 'python');
  const connection = await NativeConnection.connect(temporalConnectConfig(config).connectionOptions);
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: TASK_QUEUE,
    identity: `dayfill-worker ${process.pid}@${config.stateDir}`,
    workflowBundle: { codePath: fileURLToPath(new URL('./workflow-bundle.js', import.meta.url)) },
    activities: createActivities({
      config,
      runner,
      logger,
      client,
      clients,
      advisers: createAdvisers(config, logger),
      guard: createSqlGuard(python),
      queryGuard: createQueryGuard(python),
      ledger: openLedger(clients(project), dataset, location),
      fixRecords: openFixRecords(clients(project), dataset, location),
      protectedTables: openProtectedTables(clients(project), dataset, location),
      totalsRecord: openTotalsRecord(clients(project), dataset, location),
      warn: (workflowId, runId, warning) =>
        client.workflow.getHandle(workflowId, runId).signal(limitWarningSignal, warning),
      loadPipeline: (name, vars) =>
        forVars(loadPipeline(config.pipelinesDir, name, { defaultVenv: config.venv }), vars),
      cancelLabelledJobs: async (projectId, labels) => {
        if (projectId !== undefined) await cancelLabelledJobs(clients(projectId), labels);
      },
    }),
    interceptors: { activity: [attemptNotes.interceptor] },
    maxConcurrentActivityTaskExecutions: config.maxSteps,
    // A worker that was killed keeps its sticky tasks for as long as this: a restart should not wait for it.
    stickyQueueScheduleToStartTimeout: '1 second',
    maxHeartbeatThrottleInterval: '1 second',
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
  const readyFile = path.join(config.stateDir, 'worker.json');
  writeFileSync(readyFile, JSON.stringify({ pid: process.pid }));
  try {
    await worker.run();
  } finally {
    rmSync(readyFile, { force: true });
    await runner.close();
    await connection.close();
  }
}

/** A worker whose attributes the server does not know would fail every workflow task. */
async function requireSearchAttributes(client: Client, namespace: string, logger: Logger): Promise<void> {
  const known = await knownSearchAttributes(client, namespace, logger);
  const missing = SEARCH_ATTRIBUTE_NAMES.filter((name) => known !== null && !known.has(name));
  if (missing.length === 0) return;
  const names = missing.map((name) => `--name ${name} --type Keyword`).join(' ');
  throw new WorkerStartError(
    `The namespace "${namespace}" lacks search attributes; add them with: temporal operator search-attribute create --namespace ${namespace} ${names}`,
  );
}

/** Null where the server does not tell, as Temporal Cloud does not. */
async function knownSearchAttributes(client: Client, namespace: string, logger: Logger): Promise<Set<string> | null> {
  try {
    const { customAttributes } = await client.connection.operatorService.listSearchAttributes({ namespace });
    return new Set(Object.keys(customAttributes ?? {}));
  } catch (error) {
    if (!isGrpcServiceError(error) || !UNTOLD.has(error.code)) throw error;
    logger.warn({ needed: SEARCH_ATTRIBUTE_NAMES }, 'the server does not tell its search attributes; these are needed');
    return null;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await runWorker(loadConfig());
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
