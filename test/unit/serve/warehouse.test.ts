import type { BigQuery } from '@google-cloud/bigquery';
import { expect, test } from '@jest/globals';
import { pino } from 'pino';
import { failureRefusal, ServedWarehouse, type WarehouseFailure } from '../../../src/serve/warehouse.js';

test('a job that takes too long is cancelled, and the caller is told to try again', async () => {
  let cancel = () => {};
  const cancelled = new Promise<never>((_, reject) => {
    cancel = () => reject(Object.assign(new Error('Job execution was cancelled'), { reason: 'stopped' }));
  });
  const job = { getQueryResults: () => cancelled, cancel: async () => cancel() };
  const bigquery = { createQueryJob: async () => [job] } as unknown as BigQuery;
  const models = { client: 'headless', location: 'US', dataset: 'd' };
  const warehouse = new ServedWarehouse(bigquery, models, pino({ level: 'silent' }));
  const query = { operation: 'event', sql: 'select 1', params: {}, timeoutMs: 10 } as const;
  const failure = await warehouse.run(query).catch((error: WarehouseFailure) => error);
  expect(failureRefusal(failure as WarehouseFailure)).toMatchObject({
    message: expect.stringContaining('took too long'),
    extensions: { code: 'WAREHOUSE_UNAVAILABLE' },
  });
});
