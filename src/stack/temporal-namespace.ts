import { setTimeout } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { SEARCH_ATTRIBUTE_NAMES } from '../contracts/search-attributes.js';
import { StackError } from './errors.js';

/** How long finished workflows can be looked at; the dev server's own default is a day. */
const RETENTION = '30 days';
/** In the server's own numbering; its API package is no dependency of ours. */
const KEYWORD = 2;
const VISIBLE_WITHIN_MS = 20_000;

/** Gives a namespace of the dev server its retention and the search attributes that a worker needs. */
export async function prepareNamespace(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: '10 seconds' });
  try {
    await connection.workflowService.updateNamespace({
      namespace,
      config: { workflowExecutionRetentionTtl: msToTs(RETENTION) },
    });
    const missing = await missingAttributes(connection, namespace);
    if (missing.length > 0) await addAttributes(connection, namespace, missing);
  } finally {
    await connection.close();
  }
}

async function missingAttributes(connection: Connection, namespace: string): Promise<string[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  return SEARCH_ATTRIBUTE_NAMES.filter((name) => customAttributes?.[name] === undefined);
}

/** The server answers before it knows them itself. */
async function addAttributes(connection: Connection, namespace: string, names: string[]): Promise<void> {
  const searchAttributes = Object.fromEntries(names.map((name) => [name, KEYWORD]));
  await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  const deadline = Date.now() + VISIBLE_WITHIN_MS;
  while ((await missingAttributes(connection, namespace)).length > 0) {
    if (Date.now() > deadline) throw new StackError('Temporal did not take up the search attributes: see its log.');
    await setTimeout(50);
  }
}
