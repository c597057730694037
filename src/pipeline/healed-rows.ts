import { type LedgerRow, UNDO_RUN } from '../contracts/ledger.js';

/** The rows of partitions that ended `fixed`, without those whose fix was undone since: what was put back has healed nothing. */
export function healedRows(rows: LedgerRow[]): LedgerRow[] {
  const undone = new Map<string, string>();
  for (const { partition, runId, recordedAt } of rows) {
    if (runId.startsWith(UNDO_RUN) && recordedAt > (undone.get(partition) ?? '')) undone.set(partition, recordedAt);
  }
  return rows.filter(({ partition, status, recordedAt }) => {
    return status === 'fixed' && recordedAt > (undone.get(partition) ?? '');
  });
}
