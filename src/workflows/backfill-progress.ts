import type { AddReceipt, PartitionReport, Plan, Progress } from '../contracts/backfill.js';
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
  /** What stands for every failure of a fingerprint, by fingerprint. */
  standing: Record<string, AlikeInput>;
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

  static planned(plan: Plan, order: 'asc' | 'desc', now: Date): BackfillProgress {
    const { pipeline, concurrency, onFailure, notifies } = plan;
    return new BackfillProgress({
      pipeline,
      order,
      concurrency,
      onFailure,
      pending: plan.partitions.filter(({ action }) => action === 'run').map(({ partition }) => partition),
      live: {},
      ended: {},
      planSkipped: plan.partitions.filter(({ action }) => action === 'skip').length,
      startedAt: now.toISOString(),
      endedMs: 0,
      paused: false,
      draining: false,
      notifies,
      standing: {},
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
    return (
      !this.closing && !this.carry.paused && this.carry.pending.length > 0 && this.inFlight < this.carry.concurrency
    );
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
      this.end(partition, report.status, failure, Date.now());
    }
    this.version += 1;
  }

  /** A partition ended; told twice (by its signal and by its result) counts once. */
  end(partition: string, status: PartitionStatus, failure: string | null, now: number): void {
    if (failure !== null) this.failed ??= failure;
    this.version += 1;
    if (this.carry.live[partition] === undefined) return;
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
  add(plan: Plan): AddReceipt {
    const receipt: AddReceipt = { added: [], skipped: [] };
    for (const planned of plan.partitions) {
      const { partition } = planned;
      const here = this.carry.live[partition] !== undefined || this.carry.pending.includes(partition);
      if (here) receipt.skipped.push({ partition, action: 'skip', reason: 'already in this backfill' });
      else if (planned.action === 'skip') receipt.skipped.push(planned);
      else receipt.added.push(partition);
    }
    for (const partition of receipt.added) delete this.carry.ended[partition];
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

  /** What stands for the failure that a partition waits with; null when nothing does. */
  standingOrder(partition: string): StandingOrder | null {
    const { status, failure } = this.carry.live[partition] ?? {};
    const alike = failure && this.carry.standing[failure.fingerprint];
    return status === 'waiting' && alike ? { ...alike, failure: failure.id } : null;
  }

  get status(): BackfillStatus {
    if (this.carry.draining) return 'cancelling';
    if (Object.values(this.carry.live).some((report) => report.status === 'waiting')) return 'waiting';
    return this.carry.paused ? 'paused' : 'running';
  }

  progress(): Progress {
    const { pipeline, pending, live, ended, startedAt, endedMs } = this.carry;
    const total = pending.length + Object.keys(live).length + Object.keys(ended).length;
    return { pipeline, status: this.status, total, pending, live, ended, startedAt, endedMs };
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
