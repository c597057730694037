import type { Prices } from '../config.js';
import { bytesText, dollarsText, slotText, timeText } from '../contracts/amounts.js';
import type { StepLimits, Usage } from '../contracts/limits.js';
import type { StepHeartbeat } from '../contracts/step.js';
import { answered } from '../warehouse/answered.js';
import { bytesFor, costUsd } from '../warehouse/cost.js';
import { isTransientWarehouseError, warehouseMessage } from '../warehouse/errors.js';
import type { JobMeter } from '../warehouse/jobs.js';
import type { TempTables } from '../warehouse/temp-tables.js';

const JOBS_EVERY_MS = 1000;
/** Looking at tables takes longer than looking at jobs, and asks more of the warehouse. */
const TABLES_EVERY_MS = 5000;

/** A limit that was crossed, by its name in the pipeline file. */
export interface CrossedLimit {
  name: string;
  /** What was found, one sentence. */
  message: string;
}

export interface LimitWatchOptions {
  limits: StepLimits;
  prices: Prices;
  /** Null without a project whose jobs could be looked at. */
  meter: JobMeter | null;
  tables: TempTables[];
  /** Milliseconds that attempts before this one ran. */
  ranMs: number;
  /** Names of limits that need no telling any more. */
  told: readonly string[];
  /** Called once for each limit that is crossed; again when it throws. */
  crossed(limit: CrossedLimit): void | Promise<void>;
  /** Called when what the limits are about cannot be looked at, or nobody could be told; `mayPass` by another try. */
  blind(message: string, mayPass: boolean): void;
}

/** Watches one attempt at a step: its time, what its BigQuery jobs take, and the tables that it makes. */
export class LimitWatch {
  private readonly startedMs = Date.now();
  private readonly told: Set<string>;
  private readonly timers = new Set<NodeJS.Timeout>();
  private watching = false;
  private blindFor = '';
  private readonly looking = new Set<Promise<void>>();
  /** What was seen last. */
  usage: Usage = { bytesBilled: null, slotMs: null, costUsd: null };

  constructor(private readonly options: LimitWatchOptions) {
    this.told = new Set(options.told);
  }

  /** What a heartbeat tells of it. */
  get progress(): StepHeartbeat {
    const { bytesBilled, slotMs } = this.usage;
    return { ranMs: this.ranMs, ...(bytesBilled !== null && { bytesBilled }), ...(slotMs !== null && { slotMs }) };
  }

  /** Milliseconds that the step has run, attempts before this one included. */
  get ranMs(): number {
    return this.options.ranMs + Date.now() - this.startedMs;
  }

  /** Most bytes that a job may bill which begins now; null without a bound. */
  get bytesLeft(): number | null {
    const { limits, prices } = this.options;
    if (limits.onLimit === 'warn') return null;
    const ofCost = limits.costUsd === null ? null : bytesFor(limits.costUsd, prices);
    const bounds = [limits.bytesBilled, ofCost].filter((bytes) => bytes !== null);
    return bounds.length === 0 ? null : Math.max(1, Math.min(...bounds) - (this.usage.bytesBilled ?? 0));
  }

  /** Looks again and again from now on, at each thing apart: none has to wait for another. */
  start(): void {
    this.watching = true;
    const { runtimeMs } = this.options.limits;
    if (runtimeMs !== null) this.after(runtimeMs - this.ranMs + 1, () => this.lookAtClock());
    this.every(JOBS_EVERY_MS, () => this.lookAtJobs());
    this.every(TABLES_EVERY_MS, () => this.lookAtTables());
  }

  /** Ends the watch; looks under way are waited for. */
  async stop(): Promise<void> {
    this.watching = false;
    for (const timer of this.timers) clearTimeout(timer);
    await Promise.all(this.looking);
  }

  /** Looks at all there is, once. */
  async look(): Promise<void> {
    await this.see(() => this.lookAtJobs());
    await this.see(() => this.lookAtTables());
  }

  private every(ms: number, look: () => Promise<void>): void {
    this.after(ms, async () => {
      const looking = this.see(look);
      this.looking.add(looking);
      await looking;
      this.looking.delete(looking);
      if (this.watching) this.every(ms, look);
    });
  }

  /** An outage of the warehouse is waited for; what stays as it is, such as a column that is not there, is told. */
  private async see(look: () => Promise<void>): Promise<void> {
    try {
      await answered(look());
      this.blindFor = '';
    } catch (error) {
      this.blind(`The limits cannot be watched: ${warehouseMessage(error)}`, isTransientWarehouseError(error));
    }
  }

  private async lookAtClock(): Promise<void> {
    await this.compare('runtime', this.ranMs, this.options.limits.runtimeMs, 'run for', timeText);
    // Whoever could not be told is told again.
    if (this.watching && !this.told.has('runtime')) this.after(JOBS_EVERY_MS, () => this.lookAtClock());
  }

  private async lookAtJobs(): Promise<void> {
    const { meter, prices, limits } = this.options;
    if (meter === null) return;
    const used = await meter.read();
    this.usage = { ...used, costUsd: costUsd(used, prices) };
    await this.compare('bytes_billed', used.bytesBilled, limits.bytesBilled, 'billed', bytesText);
    await this.compare('slot_hours', used.slotMs, limits.slotMs, 'taken', slotText);
    await this.compare('cost_usd', this.usage.costUsd, limits.costUsd, 'cost', dollarsText);
  }

  private async lookAtTables(): Promise<void> {
    const { tables, meter } = this.options;
    for (const table of tables) {
      for (const message of await table.overlong(meter?.endedJobs ?? 0))
        await this.tell({ name: 'temp_tables', message });
    }
  }

  private async compare(
    name: string,
    actual: number | null,
    limit: number | null,
    has: string,
    text: (amount: number) => string,
  ): Promise<void> {
    if (limit === null || actual === null || actual <= limit) return;
    await this.tell({
      name,
      message: `The step has ${has} ${text(actual)}, more than its limit ${name} of ${text(limit)}.`,
    });
  }

  private async tell(limit: CrossedLimit): Promise<void> {
    if (this.told.has(limit.name)) return;
    try {
      await this.options.crossed(limit);
      this.told.add(limit.name);
    } catch (error) {
      this.blind(`${limit.message} Nobody could be told: ${(error as Error).message}`, true);
    }
  }

  /** The same is said once. */
  private blind(message: string, mayPass: boolean): void {
    if (this.blindFor === message) return;
    this.blindFor = message;
    this.options.blind(message, mayPass);
  }

  private after(ms: number, work: () => Promise<void>): void {
    const timer = setTimeout(
      () => {
        this.timers.delete(timer);
        void work();
      },
      Math.max(0, ms),
    );
    this.timers.add(timer);
  }
}
