import { addKnown, outOfBudget } from '../contracts/amounts.js';
import type { AddInput, AddReceipt, BackfillInput, PartitionReport, Plan, Progress } from '../contracts/backfill.js';
import type { AlikeInput, StandingOrder } from '../contracts/decision.js';
import type { BackfillStatus, OnFailure, PartitionStatus } from '../contracts/status.js';

/** What a backfill carries over when it continues as new. */
export interface BackfillCarry {
  pipeline: string;
  order: 'asc' | 'desc';
  concurrency: number;
  onFailure: OnFailure;
  pending: string[];
  live: Record<string, PartitionReport>;
  ended: Record<string, PartitionStatus>;
  planSkipped: number;
  startedAt: string;
  endedMs: number;
  paused: boolean;
  draining: boolean;
  notifies: boolean;
  /** Dollars that ended partitions took; null when none told. */
  spentUsd: number | null;
  /** Dollars of the pipeline's budget; null without one. */
  budgetUsd: number | null;
  /** Dollars after which no other partition starts: the budget, and as much again for each resume. */
  allowedUsd: number | null;
  /** What was allowed when people were told last that it is spent. */
  toldUsd: number | null;
  /** What stands for every failure of a fingerprint, by fingerprint. */
  standing: Record<string, AlikeInput>;
  /** Whether done partitions whose source changed since are run again. */
  stale: boolean;
  /** Partitions that catch-up wants, and no person. */
  ofCatchUp: string[];
  /** Whether it writes the ledger rows of days that needed nobody. */
  writesRows: boolean;
  /** The step that its partitions begin with; unknown to an older version. */
  firstStep?: string | undefined;
}

/** What a backfill knows of its partitions. Every change moves `version`, so that the loop can wait for "something changed". */
export class BackfillProgress {
  version = 0;
  /** The first partition that ended failed, with what to say about it; ends the backfill. */
  failed: string | null = null;
  private readonly startedMs = new Map<string, number>();
  private readonly parked = new Set<string>();

  constructor(readonly carry: BackfillCarry) {
    for (const partition of Object.keys(carry.live)) this.parked.add(partition);
  }

  static planned(plan: Plan, input: Pick<BackfillInput, 'order' | 'stale' | 'startedBy'>, now: Date): BackfillProgress {
    const { pipeline, concurrency, onFailure, notifies, budgetUsd = null, writesRows = false, firstStep } = plan;
    const pending = plan.partitions.filter(({ action }) => action === 'run').map(({ partition }) => partition);
    return new BackfillProgress({
      pipeline,
      order: input.order ?? 'asc',
      concurrency,
      onFailure,
      pending,
      live: {},
      ended: {},
      planSkipped: plan.partitions.filter(({ action }) => action === 'skip').length,
      startedAt: now.toISOString(),
      endedMs: 0,
      paused: false,
      draining: false,
      notifies,
      spentUsd: null,
      budgetUsd,
      allowedUsd: budgetUsd,
      toldUsd: null,
      standing: {},
      stale: input.stale === true,
      ofCatchUp: input.startedBy === undefined ? [] : [...pending],
      writesRows,
      firstStep,
    });
  }

  /** Partitions whose end the loop waits for; parked ones wait by themselves. */
  inFlightPartitions(): string[] {
    return Object.keys(this.carry.live).filter((partition) => !this.parked.has(partition));
  }

  get inFlight(): number {
    return Object.keys(this.carry.live).length - this.parked.size;
  }

  /** No other partition will start. */
  get closing(): boolean {
    return this.failed !== null || this.carry.draining;
  }

  get mayStart(): boolean {
    const { pending, concurrency } = this.carry;
    return !this.closing && !this.pausing && pending.length > 0 && this.inFlight < concurrency;
  }

  /** No other partition starts for now. */
  private get pausing(): boolean {
    return this.carry.paused || this.outOfBudget;
  }

  /** Dollars so far, live partitions by what they told last included; null when none told. */
  get spentUsd(): number | null {
    return Object.values(this.carry.live).reduce((sum, { costUsd }) => addKnown(sum, costUsd), this.carry.spentUsd);
  }

  /** Whether what is allowed is spent and partitions are left. */
  get outOfBudget(): boolean {
    const { allowedUsd: budgetUsd, pending } = this.carry;
    return outOfBudget({ pending, budgetUsd, spentUsd: this.spentUsd });
  }

  /** Whether people have yet to be told that the budget has run out; they are, once. */
  takeBudgetNotice(): boolean {
    if (!this.outOfBudget || this.carry.toldUsd === this.carry.allowedUsd) return false;
    this.carry.toldUsd = this.carry.allowedUsd;
    return true;
  }

  /** Goes on; with a budget in place of the old one, or else with as much again where that is spent. */
  resume(budgetUsd: number | undefined): void {
    if (budgetUsd !== undefined) {
      this.carry.budgetUsd = budgetUsd;
      this.carry.allowedUsd = budgetUsd;
    } else if (this.outOfBudget) {
      this.carry.allowedUsd = this.spentUsd! + this.carry.budgetUsd!;
    }
    this.set({ paused: false });
  }

  set(change: Partial<Pick<BackfillCarry, 'paused' | 'draining'>>): void {
    Object.assign(this.carry, change);
    this.version += 1;
  }

  start(now: number): string {
    const partition = this.carry.pending.shift()!;
    this.carry.live[partition] = { status: 'running', step: null, failure: null };
    this.startedMs.set(partition, now);
    this.version += 1;
    return partition;
  }

  /** A live partition told of a change; one that waits under `park` no longer holds the line. */
  report(partition: string, report: PartitionReport): void {
    if (this.carry.live[partition] === undefined) return;
    this.carry.live[partition] = report;
    if (report.status === 'waiting' && this.carry.onFailure === 'park') this.parked.add(partition);
    if (report.status !== 'waiting' && report.status !== 'running') {
      const failure = report.status === 'failed' ? `${partition} failed and was not healed.` : null;
      this.end(partition, report.status, failure, report.costUsd ?? null, Date.now());
    }
    this.version += 1;
  }

  /** A partition ended; told twice (by its signal and by its result) counts once. */
  end(partition: string, status: PartitionStatus, failure: string | null, costUsd: number | null, now: number): void {
    if (failure !== null) this.failed ??= failure;
    this.version += 1;
    const live = this.carry.live[partition];
    if (live === undefined) return;
    // One that was cut off says nothing more than it did before.
    this.carry.spentUsd = addKnown(this.carry.spentUsd, costUsd ?? live.costUsd);
    delete this.carry.live[partition];
    this.parked.delete(partition);
    this.carry.ended[partition] = status;
    this.carry.endedMs += now - (this.startedMs.get(partition) ?? now);
    this.startedMs.delete(partition);
  }

  /** It turned out to be done already. */
  leaveOut(partition: string): void {
    delete this.carry.live[partition];
    this.startedMs.delete(partition);
    this.carry.planSkipped += 1;
    this.version += 1;
  }

  /** Takes more partitions in, in the order of the backfill; those it has already are left out. */
  add(plan: Plan, { stale, startedBy }: AddInput): AddReceipt {
    const receipt: AddReceipt = { added: [], skipped: [] };
    for (const planned of plan.partitions) {
      const { partition } = planned;
      const here = this.carry.live[partition] !== undefined || this.carry.pending.includes(partition);
      if (here) receipt.skipped.push({ partition, action: 'skip', reason: 'already in this backfill' });
      else if (planned.action === 'skip') receipt.skipped.push(planned);
      else receipt.added.push(partition);
    }
    for (const partition of receipt.added) delete this.carry.ended[partition];
    this.carry.stale ||= stale === true;
    this.carry.ofCatchUp = this.carry.ofCatchUp.filter((partition) => !receipt.added.includes(partition));
    if (startedBy !== undefined) this.carry.ofCatchUp.push(...receipt.added);
    this.carry.pending.push(...receipt.added);
    this.carry.pending.sort();
    if (this.carry.order === 'desc') this.carry.pending.reverse();
    this.version += 1;
    return receipt;
  }

  /** From now on this is the answer to every failure of its fingerprint. */
  stand(alike: AlikeInput): void {
    this.carry.standing[alike.fingerprint] = alike;
  }

  /** Whether no person asked for any of the partitions that ran. */
  get isCatchUp(): boolean {
    const { ended, live, ofCatchUp } = this.carry;
    return [...Object.keys(ended), ...Object.keys(live)].every((partition) => ofCatchUp.includes(partition));
  }

  /** What stands for the failure that a partition waits with; null when nothing does. */
  standingOrder(partition: string): StandingOrder | null {
    const { status, failure } = this.carry.live[partition] ?? {};
    const alike = failure && this.carry.standing[failure.fingerprint];
    return status === 'waiting' && alike ? { ...alike, failure: failure.id } : null;
  }

  get status(): BackfillStatus {
    if (this.carry.draining) return 'cancelling';
    if (Object.values(this.carry.live).some((report) => report.status === 'waiting')) return 'waiting';
    return this.pausing ? 'paused' : 'running';
  }

  progress(): Progress {
    const { pipeline, pending, live, ended, startedAt, endedMs, allowedUsd } = this.carry;
    const total = pending.length + Object.keys(live).length + Object.keys(ended).length;
    const budget = { spentUsd: this.spentUsd, budgetUsd: allowedUsd };
    return { pipeline, status: this.status, total, pending, live, ended, startedAt, endedMs, ...budget };
  }

  counts(): Partial<Record<PartitionStatus, number>> {
    const counts: Partial<Record<PartitionStatus, number>> = {};
    const statuses = [
      ...Object.values(this.carry.ended),
      ...Object.values(this.carry.live).map(({ status }) => status),
    ];
    for (const status of statuses) counts[status] = (counts[status] ?? 0) + 1;
    return counts;
  }
}
