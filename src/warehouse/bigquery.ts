import { BigQuery } from '@google-cloud/bigquery';
import { PassThroughClient } from 'google-auth-library';
import type { Config } from '../config.js';

/** Gives the BigQuery client of a project; clients are kept. */
export type BigQueryClients = (project: string) => BigQuery;

/** Clients for the emulator when one is configured, else for the real BigQuery with the environment's credentials. */
export function bigQueryClients(config: Pick<Config, 'bigqueryEndpoint'>): BigQueryClients {
  const clients = new Map<string, BigQuery>();
  return (project) => {
    let client = clients.get(project);
    if (client === undefined) {
      const emulator = config.bigqueryEndpoint;
      client = new BigQuery({
        projectId: project,
        // Who waits is told soon; steps and ledger writes are tried again by Temporal.
        retryOptions: { maxRetries: 1 },
        ...(emulator === null ? {} : { apiEndpoint: emulator, authClient: new PassThroughClient() }),
      });
      clients.set(project, client);
    }
    return client;
  };
}
