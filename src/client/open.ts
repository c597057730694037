import type { Client } from '@temporalio/client';
import { type Config, ledgerPlace } from '../config.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { isTransientWarehouseError } from '../warehouse/errors.js';
import { type Ledger, openLedger } from '../warehouse/ledger.js';
import { connectClient } from './connection.js';
import { StateError } from './errors.js';
import { openPipelines, type PipelineFiles } from './pipelines.js';

/** Everything a front end needs. */
export interface Dayfill extends PipelineFiles {
  temporal: Client;
  namespace: string;
  ledger: Ledger;
  close(): Promise<void>;
}

/**
 * Opens Temporal and the ledger.
 * @throws NoTemporalError when Temporal does not answer.
 */
export async function openDayfill(config: Config): Promise<Dayfill> {
  const { client, namespace } = await connectClient(config);
  return {
    ...openPipelines(config),
    temporal: client,
    namespace,
    ledger: openClearLedger(config),
    close: () => client.connection.close(),
  };
}

/** The ledger; a warehouse that is down is one sentence, not a stack of the client's. */
export function openClearLedger(config: Config): Ledger {
  const { project, dataset, location } = ledgerPlace(config);
  const ledger = openLedger(bigQueryClients(config)(project), dataset, location);
  const clear = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      const clearError = inTheWay(error, config);
      if (clearError !== null) throw clearError;
      const { message } = error as Error;
      throw new StateError(`The ledger ${project}.${dataset} cannot be read: ${message}`);
    }
  };
  return {
    append: (...rows) => clear(ledger.append(...rows)),
    latest: (pipeline, from, to) => clear(ledger.latest(pipeline, from, to)),
    rows: (pipeline, from, to) => clear(ledger.rows(pipeline, from, to)),
  };
}

/** Why the warehouse could not even be asked, as one sentence that says what to do; null for all other errors. */
export function inTheWay(error: unknown, { bigqueryEndpoint }: Pick<Config, 'bigqueryEndpoint'>): StateError | null {
  if (bigqueryEndpoint === null && /default credentials|MetadataLookup/i.test((error as Error).message)) {
    return new StateError(
      'There are no credentials for BigQuery: start the stack with "dayfill stack up", or sign in with "gcloud auth application-default login".',
    );
  }
  if (!isTransientWarehouseError(error)) return null;
  const where = bigqueryEndpoint ?? 'BigQuery';
  return new StateError(
    `The warehouse does not answer at ${where}: start the stack with "dayfill stack up", or try again.`,
  );
}
