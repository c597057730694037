import type { Client } from '@temporalio/client';
import type { Config } from '../config.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { loadPipeline } from '../pipeline/load.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { isTransientWarehouseError } from '../warehouse/errors.js';
import { type Ledger, openLedger } from '../warehouse/ledger.js';
import { connectClient } from './connection.js';
import { StateError } from './errors.js';

/** Everything a front end needs. */
export interface Dayfill {
  config: Config;
  temporal: Client;
  namespace: string;
  ledger: Ledger;
  /** @throws PipelineError */
  pipeline(name: string): PipelineDefinition;
  close(): Promise<void>;
}

/**
 * Opens Temporal and the ledger.
 * @throws NoTemporalError when Temporal does not answer.
 */
export async function openDayfill(config: Config): Promise<Dayfill> {
  const { client, namespace } = await connectClient(config);
  const { project, dataset, location } = config.ledger;
  return {
    config,
    temporal: client,
    namespace,
    ledger: withClearErrors(openLedger(bigQueryClients(config)(project), dataset, location), config),
    pipeline: (name) => loadPipeline(config.pipelinesDir, name, { defaultVenv: config.venv }),
    close: () => client.connection.close(),
  };
}

/** A warehouse that is down is one sentence, not a stack of the client's. */
function withClearErrors(ledger: Ledger, config: Config): Ledger {
  const where = config.bigqueryEndpoint ?? 'BigQuery';
  const clear = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      const { message } = error as Error;
      if (isTransientWarehouseError(error)) {
        throw new StateError(
          `The warehouse does not answer at ${where}: start the stack with "dayfill stack up", or try again.`,
        );
      }
      throw new StateError(`The ledger ${config.ledger.project}.${config.ledger.dataset} cannot be read: ${message}`);
    }
  };
  return {
    append: (row) => clear(ledger.append(row)),
    latest: (pipeline, from, to) => clear(ledger.latest(pipeline, from, to)),
    rows: (pipeline, from, to) => clear(ledger.rows(pipeline, from, to)),
  };
}
