import type { BigQuery, RowMetadata } from '@google-cloud/bigquery';
import type { GraphQLError } from 'graphql';
import type { Logger } from 'pino';
import { maskPersonal } from '../runners/mask.js';
import { isConcurrentUpdate, isTransientWarehouseError, warehouseMessage } from '../warehouse/errors.js';
import { runScript } from '../warehouse/fixes/run-script.js';
import { labelValue } from '../warehouse/labels.js';
import type { CompiledModels } from './compiled-models.js';
import { refusal } from './errors.js';

export interface ServedQuery {
  /** What it is for: names its job's label and its log line. */
  operation: 'process_event' | 'event' | 'person';
  /** The source of an event that is processed. */
  source?: string;
  sql: string;
  /** Whatever callers send is here, and never in the SQL. */
  params: Record<string, string>;
  timeoutMs: number;
}

/** What the warehouse did not do, and why; its message is the warehouse's and not for callers. */
export class WarehouseFailure extends Error {
  override name = 'WarehouseFailure';

  constructor(
    readonly kind: 'concurrent_update' | 'unavailable' | 'timeout' | 'error',
    message: string,
  ) {
    super(message);
  }
}

/** Runs the queries of one client's callers: one labelled job each. */
export class ServedWarehouse {
  constructor(
    private readonly bigquery: BigQuery,
    private readonly models: Pick<CompiledModels, 'client' | 'location' | 'dataset'>,
    private readonly logger: Logger,
  ) {}

  /** @throws WarehouseFailure */
  async run({ operation, source, sql, params, timeoutMs }: ServedQuery): Promise<RowMetadata[]> {
    const { client, location } = this.models;
    const labels = {
      dayfill_client: labelValue(client),
      dayfill_operation: operation,
      ...(source !== undefined && { dayfill_source: labelValue(source) }),
    };
    const startedAt = performance.now();
    const line = () => ({ operation, source, durationMs: Math.round(performance.now() - startedAt) });
    try {
      const rows = await runScript(this.bigquery, { query: sql, params, location, labels, jobTimeoutMs: timeoutMs });
      this.logger.info(line(), 'done');
      return rows;
    } catch (error) {
      const failure = failureOf(error);
      this.logger.warn({ ...line(), kind: failure.kind, reason: maskPersonal(failure.message) }, 'not done');
      throw failure;
    }
  }

  /** Asks for what costs nothing. @throws whatever says that the warehouse cannot be used. */
  async ping(): Promise<void> {
    await this.bigquery.dataset(this.models.dataset).getMetadata();
  }
}

/** The same for callers: nothing of the SQL or the data is in it. */
export function failureRefusal({ kind }: WarehouseFailure): GraphQLError {
  switch (kind) {
    case 'unavailable':
      return refusal('WAREHOUSE_UNAVAILABLE', 'The warehouse does not answer just now: try again later.');
    case 'concurrent_update':
      return refusal('WAREHOUSE_UNAVAILABLE', 'Others keep changing the same tables just now: try again later.');
    case 'timeout':
      return refusal('WAREHOUSE_UNAVAILABLE', 'The warehouse took too long and was told to stop: try again later.');
    case 'error':
      return refusal('WAREHOUSE_ERROR', 'The warehouse refused: tell whoever runs this, the log says why.');
  }
}

function failureOf(error: unknown): WarehouseFailure {
  const message = warehouseMessage(error);
  if (isConcurrentUpdate(error)) return new WarehouseFailure('concurrent_update', message);
  if (isTransientWarehouseError(error)) return new WarehouseFailure('unavailable', message);
  if ((error as { reason?: string }).reason === 'timeout') return new WarehouseFailure('timeout', 'it took too long');
  return new WarehouseFailure('error', message);
}
