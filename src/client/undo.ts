import { randomUUID } from 'node:crypto';
import { ledgerPlace } from '../config.js';
import { type LedgerRow, UNDO_RUN } from '../contracts/ledger.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { type FixRecord, openFixRecords } from '../warehouse/fixes/fix-record.js';
import { UndoRefused, undoFix } from '../warehouse/fixes/undo.js';
import { StateError } from './errors.js';
import type { Dayfill } from './open.js';
import { partitionBounds } from './pipelines.js';
import { isOpen } from './status.js';

/** What was put back. */
export interface Undone {
  pipeline: string;
  partition: string;
  fix: string;
  /** Work that had run it: `<step>.fix.<n>` or `<step>.<remedy>.<n>`. */
  step: string;
  sha256: string;
  /** `project.dataset.table` and how many of its rows the fix had changed, added or removed. */
  tables: { table: string; rows: number }[];
}

/**
 * Puts back what the latest fix of a partition changed that is not undone yet, and records the partition as failed, so
 * that the next run takes it again.
 * @param force also when its rows have changed since.
 * @throws StateError when there is nothing to undo, the partition is running, or its rows have changed since.
 */
export async function undoLatestFix(
  dayfill: Dayfill,
  pipeline: string,
  partition: string,
  { force }: { force: boolean },
): Promise<Undone> {
  partitionBounds(dayfill, pipeline, partition);
  if (await isOpen(dayfill, `${pipeline}/${partition}`)) {
    throw new StateError(`${partition} of ${pipeline} is running: let it end, or cancel it, before undoing its fix.`);
  }
  const { project, dataset, location } = ledgerPlace(dayfill.config);
  const clients = bigQueryClients(dayfill.config);
  const records = openFixRecords(clients(project), dataset, location);
  const fix = (await records.applied(pipeline, partition)).at(-1);
  if (fix === undefined) throw new StateError(`There is no fix of ${partition} of ${pipeline} to undo.`);
  try {
    await undoFix(clients(fix.project), fix, force);
  } catch (error) {
    throw error instanceof UndoRefused ? new StateError(error.message) : error;
  }
  // First the ledger: without the record, another undo comes by here again.
  await dayfill.ledger.append(await failedRow(dayfill, fix));
  await records.append({ ...fix, status: 'undone', recordedAt: new Date().toISOString() });
  const tables = fix.tables.map(({ table, rowsChanged: rows }) => ({ table, rows }));
  return { pipeline, partition, fix: fix.fixId, step: fix.step, sha256: fix.sha256, tables };
}

async function failedRow({ ledger }: Dayfill, fix: FixRecord): Promise<LedgerRow> {
  const { pipeline, partition, partitionStart, partitionEnd } = fix;
  const latest = (await ledger.latest(pipeline, partitionStart, partitionEnd)).get(partition);
  const now = new Date().toISOString();
  return {
    pipeline,
    partition,
    partitionStart,
    partitionEnd,
    workflowId: `${pipeline}/${partition}`,
    startedAt: now,
    sourceAsOf: now,
    steps: [],
    decisions: [],
    ...latest,
    status: 'failed',
    runId: `${UNDO_RUN}${randomUUID()}`,
    sequence: 1,
    recordedAt: now,
    reason: `undone: fix ${fix.fixId} of ${fix.step}`,
  };
}
