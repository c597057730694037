import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ApplicationFailure,
  allHandlersFinished,
  CancellationScope,
  ChildWorkflowFailure,
  condition,
  continueAsNew,
  executeChild,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  ParentClosePolicy,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { AddInput, AddReceipt, BackfillInput, BackfillResult, Plan } from '../contracts/backfill.js';
import type { AlikeInput, AlikeReceipt } from '../contracts/decision.js';
import { BACKFILL_FAILED } from '../contracts/failure.js';
import { backfillId, partitionId, variantName } from '../contracts/ids.js';
import {
  addUpdate,
  drainSignal,
  partitionChangedSignal,
  pauseSignal,
  progressQuery,
  resolveAlikeUpdate,
  resumeSignal,
  standingOrderSignal,
} from '../contracts/messages.js';
import { type NoticePartition, UNEXPLAINED } from '../contracts/notice.js';
import type { PartitionInput, PartitionResult } from '../contracts/partition.js';
import { DAYFILL_PIPELINE, DAYFILL_STATUS, partitionAttributes } from '../contracts/search-attributes.js';
import type { BackfillStatus } from '../contracts/status.js';
import { type BackfillCarry, BackfillProgress } from './backfill-progress.js';
import /* webpackDefer: true */ * as checks from './checks.js';
import { backfillDetails, budgetSentence } from './details.js';
import { badInput, checkedInput } from './input.js';
import { LedgerRows } from './ledger-rows.js';
import { tell } from './notification.js';
import { partition } from './partition.js';
import { awaitWorkflow, findCanary, orRefusal, plan, planMore } from './run-step.js';

/**
 * A run of a pipeline over many partitions, in order: no day starts before the one ahead of it is succeeded, fixed or
 * skipped on purpose. Plans first; continues as new between days, long before its history grows too long.
 */
export async function backfill(rawInput: unknown, carry?: BackfillCarry): Promise<BackfillResult> {
  const input = checkedInput(checks.backfillInputSchema, rawInput, (i) => backfillId(i.pipeline, i.vars));
  if (carry !== undefined && workflowInfo().continuedFromExecutionRunId === undefined) {
    throw badInput('The input is not usable: a backfill takes one JSON object, not two.');
  }
  const run = new BackfillRun(input, carry);
  await run.planned();
  const { progress } = run;

  for (;;) {
    const seen = progress.version;
    run.show();
    if (progress.takeBudgetNotice()) await run.tellOutOfBudget();
    if (progress.mayStart && !workflowInfo().continueAsNewSuggested) {
      run.start(progress.start(Date.now()));
      continue;
    }
    if (progress.inFlight === 0) {
      if (!allHandlersFinished()) await condition(allHandlersFinished);
      await run.rows.written();
      if (progress.version !== seen) continue;
      if (progress.closing || progress.carry.pending.length === 0) return await run.end();
      if (workflowInfo().continueAsNewSuggested) {
        await continueAsNew<typeof backfill>(input, progress.carry);
      }
    }
    await run.changedSince(seen);
  }
}

/** The partitions of one backfill, their workflows, and the messages it answers. */
class BackfillRun {
  private current: BackfillProgress | null = null;
  readonly rows = new LedgerRows();
  /** Only in the first run of a backfill. */
  private firstPlan: Plan | null = null;
  /** What the query answers until the plan is there. */
  private readonly planning: BackfillProgress;
  private shownStatus: BackfillStatus | null = null;
  /** Partitions run in a scope of their own, so that a cancellation reaches those in flight but not parked ones. */
  private readonly children = new Map<string, { scope: CancellationScope; ended: Promise<void> }>();

  constructor(
    private readonly input: BackfillInput,
    carry: BackfillCarry | undefined,
  ) {
    const nothingYet = {
      pipeline: variantName(input.pipeline, input.vars),
      partitions: [],
      concurrency: 1,
      notifies: false,
    };
    this.planning = BackfillProgress.planned({ ...nothingYet, onFailure: 'wait' }, {}, new Date());
    // A backfill that an older version continued as new carries less.
    if (carry !== undefined)
      this.current = new BackfillProgress({
        ...carry,
        notifies: carry.notifies ?? false,
        standing: carry.standing ?? {},
        stale: carry.stale ?? false,
        ofCatchUp: carry.ofCatchUp ?? [],
        spentUsd: carry.spentUsd ?? null,
        budgetUsd: carry.budgetUsd ?? null,
        allowedUsd: carry.allowedUsd ?? null,
        toldUsd: carry.toldUsd ?? null,
        writesRows: carry.writesRows ?? false,
      });
    setHandler(pauseSignal, async () => (await this.ready()).set({ paused: true }), {
      description: 'Start no other partition until resumed.',
    });
    setHandler(resumeSignal, (resume) => this.resume(resume), {
      description:
        'Go on after pause, or with as much again once the budget is spent. Optional JSON: {"budgetUsd":20}.',
    });
    setHandler(drainSignal, async () => (await this.ready()).set({ draining: true }), {
      description: 'Finish what runs, start no other, then end.',
    });
    setHandler(partitionChangedSignal, async (change) => {
      const parsed = checks.partitionChangeSchema.safeParse(change);
      if (!parsed.success) return log.warn('a signal was dropped', { reason: checks.firstIssue(parsed.error) });
      (await this.ready()).report(parsed.data.partition, parsed.data.report);
      await this.passOn(parsed.data.partition);
    });
    setHandler(resolveAlikeUpdate, (alike) => this.resolveAlike(alike), {
      validator: (alike) => {
        const parsed = checks.alikeSchema.safeParse(alike);
        if (!parsed.success) throw new Error(`The decision is not usable: ${checks.firstIssue(parsed.error)}.`);
      },
      description:
        'What healed one partition stands for all failures alike, now and later. JSON: {"fingerprint":"…"}; optional "note", "by".',
    });
    setHandler(progressQuery, () => (this.current ?? this.planning).progress(), {
      description: 'Pending, live and ended partitions.',
    });
    setHandler(addUpdate, (add) => this.add(add), {
      validator: (add) => {
        const parsed = checks.addInputSchema.safeParse(add);
        if (!parsed.success)
          throw new Error(`The partitions to add are not usable: ${checks.firstIssue(parsed.error)}.`);
        if (this.current?.closing)
          throw new Error('The backfill is ending and takes no more partitions: start it again.');
      },
      description: 'More partitions. JSON: {"from":"2025-07-16","to":"2025-07-18"} or {"partitions":["2025-07-18"]}.',
    });
  }

  private async resume(given: unknown): Promise<void> {
    const parsed = checks.resumeInputSchema.optional().safeParse(given ?? undefined);
    if (!parsed.success) return log.warn('a signal was dropped', { reason: checks.firstIssue(parsed.error) });
    (await this.ready()).resume(parsed.data?.budgetUsd);
  }

  /** Takes more partitions in; an update that came with the start (update-with-start) asks for what the start brought in. */
  private async add(add: AddInput): Promise<AddReceipt> {
    const cameWithStart = this.current === null && selection(add) === selection(this.input);
    const progress = await this.ready();
    if (cameWithStart && this.firstPlan !== null) return receiptOf(this.firstPlan);
    await this.rows.written();
    return progress.add(await orRefusal(planMore(this.input, add)), add);
  }

  /** Refuses until one partition has been healed: that one shows that the decision is right. */
  private async resolveAlike(alike: AlikeInput): Promise<AlikeReceipt> {
    const progress = await this.ready();
    const { fingerprint } = alike;
    const { action, canary } = await orRefusal(findCanary(this.input, alike));
    progress.stand(alike);
    const released = Object.keys(progress.carry.live).filter(
      (key) => progress.standingOrder(key)?.fingerprint === fingerprint,
    );
    await Promise.all(released.map((key) => this.passOn(key)));
    return { fingerprint, action, canary, released, stands: true };
  }

  /** Tells a partition that waits what stands for its failure, if anything does. */
  private async passOn(key: string): Promise<void> {
    const order = this.progress.standingOrder(key);
    if (order === null) return;
    const { pipeline, vars } = this.input;
    try {
      await getExternalWorkflowHandle(partitionId(pipeline, key, vars)).signal(standingOrderSignal, order);
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('a partition has ended and was not told what stands', { partition: key, error: String(error) });
    }
  }

  /** There once `planned` has ended. */
  get progress(): BackfillProgress {
    return this.current!;
  }

  async planned(): Promise<void> {
    upsertSearchAttributes([{ key: DAYFILL_PIPELINE, value: variantName(this.input.pipeline, this.input.vars) }]);
    if (this.current !== null) return;
    this.firstPlan = await orRefusal(plan(this.input));
    this.current = BackfillProgress.planned(this.firstPlan, this.input, new Date());
  }

  /** Messages may come while the plan is being made. */
  private async ready(): Promise<BackfillProgress> {
    await condition(() => this.current !== null);
    return this.progress;
  }

  /** Starts a partition; its end is told to the progress, whatever it is. */
  start(key: string): void {
    const shield = new CancellationScope({ cancellable: false });
    const scope = new CancellationScope({ cancellable: true, parent: shield });
    const ended = scope
      .run(() => this.run(key))
      .catch((error) => {
        const cause = error instanceof ChildWorkflowFailure && error.cause ? error.cause : error;
        const message = cause instanceof Error ? cause.message : String(cause);
        const [detail] = (cause instanceof ApplicationFailure && cause.details) || [];
        const { costUsd = null } = (detail ?? {}) as Partial<PartitionResult>;
        const failure = isCancellation(error) ? `${key} was cancelled.` : message;
        this.progress.end(key, 'failed', failure, costUsd, Date.now());
      });
    this.children.set(key, { scope, ended });
  }

  private async run(key: string): Promise<void> {
    const { pipeline, vars, fromStep, reason } = this.input;
    const { onFailure, ofCatchUp, writesRows, firstStep } = this.progress.carry;
    const childInput: PartitionInput = { pipeline, partition: key, onFailure };
    if (vars !== undefined) childInput.vars = vars;
    if (fromStep !== undefined) childInput.fromStep = fromStep;
    if (reason !== undefined) childInput.reason = reason;
    // A parked day may outlive its backfill.
    if (writesRows && onFailure !== 'park') childInput.recordedBy = 'backfill';
    if (ofCatchUp.includes(key)) Object.assign(childInput, { reason: 'catch-up', startedBy: 'catch-up' });
    const workflowId = partitionId(pipeline, key, vars);
    for (;;) {
      try {
        const {
          status,
          costUsd = null,
          row,
        } = await executeChild(partition, {
          workflowId,
          args: [childInput],
          staticSummary: `${pipeline} · ${key}`,
          typedSearchAttributes: partitionAttributes(childInput, firstStep),
          parentClosePolicy: onFailure === 'park' ? ParentClosePolicy.ABANDON : ParentClosePolicy.REQUEST_CANCEL,
        });
        if (row !== undefined) this.rows.add(row);
        return this.progress.end(key, status, null, costUsd, Date.now());
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        // Someone runs this day already: wait for it, then see whether it still has to run.
        await awaitWorkflow(workflowId);
        const again = await plan({ ...this.planInput(), partitions: [key] });
        if (again.partitions[0]?.action !== 'run') return this.progress.leaveOut(key);
      }
    }
  }

  private planInput(): BackfillInput {
    const { from: _from, to: _to, exclude: _exclude, ...rest } = this.input;
    return this.progress.carry.stale ? { ...rest, stale: true } : rest;
  }

  /** Waits until something changed; a cancellation ends the partitions in flight first. */
  async changedSince(version: number): Promise<void> {
    try {
      await condition(() => this.progress.version !== version);
    } catch (error) {
      await CancellationScope.nonCancellable(async () => {
        const inFlight = this.progress.inFlightPartitions().flatMap((key) => this.children.get(key) ?? []);
        for (const { scope } of inFlight) scope.cancel();
        await Promise.all(inFlight.map(({ ended }) => ended));
        await this.rows.written();
        this.show('failed');
        await this.tellFinished('cancelled', 'The backfill was cancelled.');
      });
      throw error;
    }
  }

  /** Tells the Web UI how far it is. */
  show(ended?: 'succeeded' | 'failed'): void {
    const status = ended ?? this.progress.status;
    setCurrentDetails(backfillDetails(this.progress.progress(), status, new Date()));
    if (status === this.shownStatus) return;
    this.shownStatus = status as BackfillStatus;
    upsertSearchAttributes([{ key: DAYFILL_STATUS, value: status }]);
  }

  async end(): Promise<BackfillResult> {
    const { failed, carry } = this.progress;
    const result = { pipeline: carry.pipeline, planSkipped: carry.planSkipped, counts: this.progress.counts() };
    const succeeded = failed === null && !carry.draining;
    this.show(succeeded ? 'succeeded' : 'failed');
    const left = carry.pending.length;
    const rest = left === 0 ? '' : ` ${left} partition${left === 1 ? ' was' : 's were'} not started.`;
    const message = `${failed ?? 'The backfill was cancelled after the partition under way.'}${rest}`;
    await this.tellFinished(
      succeeded ? 'succeeded' : failed === null ? 'cancelled' : 'failed',
      succeeded ? '' : message,
    );
    if (succeeded) return result;
    throw ApplicationFailure.create({ message, type: BACKFILL_FAILED, nonRetryable: true, details: [result] });
  }

  /** The backfill pauses: no other partition starts until someone says so. */
  async tellOutOfBudget(): Promise<void> {
    const { pipeline, notifies } = this.progress.carry;
    if (!notifies) return;
    const progress = this.progress.progress();
    const { total, spentUsd: costUsd, budgetUsd } = progress;
    const message = budgetSentence(progress);
    const backfill = { state: 'paused' as const, message, total, counts: this.progress.counts(), costUsd };
    await tell({ event: 'limit', pipeline, partitions: [], backfill }, `budget-${budgetUsd}`);
  }

  /** One digest for the whole backfill; silence when nothing ran, or when the digest of the morning tells it. */
  private async tellFinished(state: 'succeeded' | 'failed' | 'cancelled', message: string): Promise<void> {
    const { pipeline, notifies, ended, live } = this.progress.carry;
    const counts = this.progress.counts();
    const total = Object.keys(ended).length + Object.keys(live).length;
    if (!notifies || total === 0 || this.progress.isCatchUp) return;
    // Thousands of good days are a number; the others are named.
    const statuses = [
      ...Object.entries(ended),
      ...Object.entries(live).map(([key, { status }]) => [key, status] as const),
    ]
      .filter(([, status]) => status !== 'succeeded')
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const partitions = statuses.map(([partition, status]): NoticePartition => ({ partition, status, ...UNEXPLAINED }));
    const backfill = { state, message, total, counts, costUsd: this.progress.spentUsd };
    await tell({ event: 'finished', pipeline, partitions, backfill }, 'backfill');
  }
}

function selection({ from, to, partitions, stale }: AddInput): string {
  return JSON.stringify([from, to, partitions, stale]);
}

function receiptOf({ partitions }: Plan): AddReceipt {
  const added = partitions.filter(({ action }) => action === 'run').map(({ partition: key }) => key);
  return { added, skipped: partitions.filter(({ action }) => action === 'skip') };
}
