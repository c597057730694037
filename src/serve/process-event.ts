import pLimit from 'p-limit';
import pRetry from 'p-retry';
import type { CompiledModels } from './compiled-models.js';
import { refusal } from './errors.js';
import { MOST_RETRIES, MOST_WAITING, SCRIPT_TIMEOUT_MS } from './limits.js';
import { type ServedWarehouse, WarehouseFailure } from './warehouse.js';

/** What a script raises that finds no event with the id. */
const UNKNOWN_EVENT = 'dayfill:unknown_event';

/** Processes the events of a client one after another: transactions on the same tables would abort each other. */
export class EventProcessor {
  private readonly turn = pLimit(1);

  /** @param shuttingDown aborted when no further event is to be begun. */
  constructor(
    private readonly warehouse: ServedWarehouse,
    private readonly sources: CompiledModels['sources'],
    private readonly shuttingDown: AbortSignal,
  ) {}

  /**
   * Processes one event of a source, in one transaction.
   * @throws GraphQLError for what the caller can mend or wait for, WarehouseFailure.
   */
  async process(source: string, id: string): Promise<{ success: boolean; processedAt: string }> {
    if (!Object.hasOwn(this.sources, source)) {
      const names = Object.keys(this.sources).sort().join(', ');
      throw refusal('UNKNOWN_SOURCE', `There is no source of this name: name one of ${names}.`);
    }
    if (this.turn.pendingCount >= MOST_WAITING) {
      throw refusal('OVERLOADED', 'Too many events wait to be processed: try again later.');
    }
    const { script } = this.sources[source]!;
    await this.turn(() => this.run(source, script, id));
    return { success: true, processedAt: new Date().toISOString() };
  }

  private async run(source: string, script: string, id: string): Promise<void> {
    if (this.shuttingDown.aborted) {
      throw refusal('SHUTTING_DOWN', 'The server is shutting down before it came to this: try again.');
    }
    const params = { event_id: id, source };
    const query = { operation: 'process_event', source, sql: script, params, timeoutMs: SCRIPT_TIMEOUT_MS } as const;
    try {
      await pRetry(() => this.warehouse.run(query), {
        retries: MOST_RETRIES,
        minTimeout: 200,
        randomize: true,
        shouldRetry: ({ error }) => error instanceof WarehouseFailure && error.kind === 'concurrent_update',
      });
    } catch (error) {
      if (!(error instanceof WarehouseFailure) || !error.message.includes(UNKNOWN_EVENT)) throw error;
      throw refusal('UNKNOWN_EVENT', 'The source has no event with this id: make sure that it was delivered.');
    }
  }
}
