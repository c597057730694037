import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import type { Config } from '../config.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { createApp } from './app.js';
import { Tokens } from './auth.js';
import { type CompiledModelsPlace, loadCompiledModels } from './compiled-models.js';
import { createGraphqlServer } from './graphql.js';
import { healthRoutes } from './health.js';
import { LookUp } from './look-up.js';
import { EventProcessor } from './process-event.js';
import { createResolvers } from './resolvers.js';
import { ServeStartError } from './start-error.js';
import { UnderWay } from './under-way.js';
import { ServedWarehouse } from './warehouse.js';

export interface ServeOptions {
  models: CompiledModelsPlace;
  host: string;
  /** 0 for one that is free. */
  port: number;
  /** Requests a minute of each caller. */
  rateLimit: number;
  /** Told once calls are taken. @param address e.g. `http://127.0.0.1:4000` */
  onListening(address: string): void;
}

/**
 * Serves the GraphQL API of a client's models until SIGTERM or SIGINT; calls under way are answered first.
 * @throws ServeStartError, ConfigError
 */
export async function serve(config: Config, { models: place, host, port, rateLimit, onListening }: ServeOptions) {
  const logger = pino({ level: config.logLevel }, pino.destination({ dest: 2, sync: true }));
  const tokens = new Tokens();
  const models = loadCompiledModels(place);
  const stop = new AbortController();
  const warehouse = new ServedWarehouse(bigQueryClients(config)(models.project), models, logger);
  const events = new EventProcessor(warehouse, models.sources, stop.signal);
  const underWay = new UnderWay(stop.signal);
  const httpServer = createServer();
  const graphql = createGraphqlServer({
    resolvers: createResolvers(new LookUp(warehouse, models), events),
    httpServer,
    logger,
    production: process.env.NODE_ENV === 'production',
  });
  await graphql.start();
  const health = healthRoutes(warehouse, stop.signal);
  httpServer.on('request', createApp({ graphql, health, tokens, rateLimit, underWay, logger }));
  const told = toldToStop();
  onListening(await listen(httpServer, host, port));
  const signal = await told;
  stop.abort();
  logger.info({ signal }, 'shutting down');
  // Listens on meanwhile, so that whoever asks /readyz learns of it.
  await underWay.none();
  await graphql.stop();
  logger.info('shut down');
}

/** The first signal; a second one ends the process at once. */
async function toldToStop(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
}

async function listen(server: Server, host: string, port: number): Promise<string> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new ServeStartError(whyNot(error as NodeJS.ErrnoException, host, port));
  }
  const { address, family, port: taken } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`;
}

function whyNot({ code, message }: NodeJS.ErrnoException, host: string, port: number): string {
  if (code === 'EADDRINUSE') {
    return `Port ${port} of ${host} is taken: stop what listens there, or name another one with --port.`;
  }
  return `Cannot listen on port ${port} of ${host} (${message}): name others with --host and --port.`;
}
