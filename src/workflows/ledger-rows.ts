import { CancellationScope, condition } from '@temporalio/workflow';
import type { LedgerRow } from '../contracts/ledger.js';
import { recordLedger } from './run-step.js';

/** Days may end many times a second; a ledger that is written every other second is as good, and costs them nothing. */
const INTERVAL_MS = 2000;
const MOST_ROWS = 500;

/** Rows of days that needed nobody, written by their backfill: at once, while the days go on, and at most every other second. */
export class LedgerRows {
  private rows: LedgerRow[] = [];
  private writing: Promise<void> | null = null;
  private nextAt = 0;
  private isAwaited = false;

  add(row: LedgerRow): void {
    this.rows.push(row);
    this.writing ??= CancellationScope.nonCancellable(() => this.write());
  }

  /** Returns once the ledger has every row. */
  async written(): Promise<void> {
    this.isAwaited = true;
    await this.writing;
    this.isAwaited = false;
  }

  private async write(): Promise<void> {
    while (this.rows.length > 0) {
      const left = this.nextAt - Date.now();
      if (left > 0) await condition(() => this.isAwaited, left);
      this.nextAt = Date.now() + INTERVAL_MS;
      await recordLedger(this.rows.splice(0, MOST_ROWS));
    }
    this.writing = null;
  }
}
