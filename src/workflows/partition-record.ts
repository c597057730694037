import {
  getExternalWorkflowHandle,
  isCancellation,
  log,
  setCurrentDetails,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { addKnown } from '../contracts/amounts.js';
import type { Decision, DecisionRecord, DecisionWay } from '../contracts/decision.js';
import { type Failure, normalisedMessage, type StepFailure } from '../contracts/failure.js';
import { shortHash, variantName } from '../contracts/ids.js';
import type { LedgerRow } from '../contracts/ledger.js';
import type { Usage } from '../contracts/limits.js';
import { partitionChangedSignal } from '../contracts/messages.js';
import { type NoticePartition, UNEXPLAINED } from '../contracts/notice.js';
import type {
  PartitionInput,
  PartitionState,
  PreparedFix,
  RenderedPartition,
  StepOutcome,
} from '../contracts/partition.js';
import { DAYFILL_STATUS, DAYFILL_STEP, partitionAttributes } from '../contracts/search-attributes.js';
import type { PartitionStatus } from '../contracts/status.js';
import type { StepResult } from '../contracts/step.js';
import type { DecisionDesk } from './decision-desk.js';
import { partitionDetails } from './details.js';
import { recordLedger, recordLedgerLocally } from './run-step.js';

/** Nobody could see the step of a day that has been running for less; its end tells the last one. */
const QUICK_MS = 1000;

/** What is known of one partition while it runs, and the places it is told to: the query, the Web UI, the parent, the ledger. */
export class PartitionRecord {
  private readonly startedAt = new Date().toISOString();
  private readonly outcomes = new Map<string, StepOutcome>();
  private readonly decisions: DecisionRecord[] = [];
  private rendered: RenderedPartition | null = null;
  private status: PartitionStatus = 'running';
  private step: string | null = null;
  /** The step in the search attributes; a backfill gives the first one at the start. */
  private shownStep: string | null;
  private failure: Failure | null = null;
  private failures = 0;
  private rows = 0;
  /** The parent hears of this partition's end by its result, unless it heard that it waits. */
  private parentWatches = false;

  constructor(
    private readonly input: PartitionInput,
    private readonly desk: DecisionDesk,
  ) {
    // A backfill starts its partitions with them.
    const given = workflowInfo().typedSearchAttributes;
    this.shownStep = given.get(DAYFILL_STEP) ?? null;
    if (given.get(DAYFILL_STATUS) === undefined) upsertSearchAttributes(partitionAttributes(input));
  }

  /** Takes the pipeline file as it was read; steps that have an outcome keep it, and so does the time of the first read. */
  load(rendered: RenderedPartition): void {
    this.rendered = { ...rendered, sourceAsOf: this.rendered?.sourceAsOf ?? rendered.sourceAsOf };
    for (const id of rendered.earlierSteps) {
      const outcome = this.outcome(id);
      outcome.status = 'succeeded';
      outcome.state = rendered.earlierStates?.[id] ?? null;
    }
    for (const { id } of rendered.steps) this.outcome(id);
  }

  /** True once something had to heal this partition. */
  get healed(): boolean {
    return (
      this.decisions.some(({ action }) => action !== 'reject') ||
      [...this.outcomes.values()].some((outcome) => outcome.remedies.length > 0)
    );
  }

  /** How many SQL fixes were decided on. */
  get fixCount(): number {
    return this.decisions.filter(({ action }) => action === 'fix' || action === 'approve').length;
  }

  /** The failure whose answer came last; null when nothing waited. */
  get lastHealed(): Failure | null {
    const last = this.decisions.at(-1);
    return last === undefined ? null : (this.outcomes.get(last.step)?.failure ?? null);
  }

  get waiting(): boolean {
    return this.status === 'waiting';
  }

  get skippedAStep(): boolean {
    return [...this.outcomes.values()].some((outcome) => outcome.status === 'skipped');
  }

  beginStep(stepId: string): void {
    this.step = stepId;
    this.outcome(stepId).status = 'running';
    const isQuick = this.rendered?.localLedger === true && Date.now() - Date.parse(this.startedAt) < QUICK_MS;
    if (this.shownStep === stepId || (isQuick && this.shownStep !== null)) return;
    this.shownStep = stepId;
    upsertSearchAttributes([{ key: DAYFILL_STEP, value: stepId }]);
  }

  /** Adds what an activity of this step took and gave: the step itself, or a part of a remedy that stands in for it. */
  addResult(stepId: string, result: StepResult, durationMs: number): void {
    const outcome = this.outcome(stepId);
    outcome.durationMs += durationMs;
    outcome.jobIds.push(...result.jobIds);
    addUsage(outcome, result);
    outcome.counts = { ...outcome.counts, ...result.counts };
    outcome.log = result.log ?? outcome.log;
    outcome.state = result.state ?? outcome.state;
  }

  addAttempt(stepId: string): void {
    this.outcome(stepId).attempts += 1;
  }

  /** Gives a failure its id and fingerprint and keeps it with the step. */
  addFailure(stepId: string, { usage, ...failure }: StepFailure, durationMs: number): Failure {
    this.failures += 1;
    const outcome = this.outcome(stepId);
    outcome.durationMs += durationMs;
    outcome.log = failure.log ?? outcome.log;
    if (usage !== undefined) addUsage(outcome, usage);
    outcome.failure = {
      ...failure,
      // The end of a run id is random; its beginning is the time, which runs of the same minute share.
      id: `${workflowInfo().runId.slice(-8)}-${this.failures}`,
      fingerprint: shortHash(
        JSON.stringify([stepId, failure.kind, failure.tests, normalisedMessage(failure.message)]),
        12,
      ),
      step: stepId,
    };
    return outcome.failure;
  }

  /** A step has crossed a limit that it only warns of. */
  addWarning(stepId: string, warning: string): void {
    this.outcome(stepId).warnings.push(warning);
    this.refresh();
  }

  /** Dollars that the steps took so far, fixes and remedies included; null when none told. */
  get costUsd(): number | null {
    return [...this.outcomes.values()].reduce((sum: number | null, outcome) => addKnown(sum, outcome.costUsd), null);
  }

  addRemedies(stepId: string, ids: string[]): void {
    this.outcome(stepId).remedies.push(...ids);
  }

  endStep(stepId: string, status: 'succeeded' | 'fixed' | 'skipped' | 'failed'): void {
    this.outcome(stepId).status = status;
  }

  /** How many remedies of each id this partition has used, for their `attempts`. */
  usedRemedies(stepId: string): Record<string, number> {
    const used: Record<string, number> = {};
    for (const id of this.outcome(stepId).remedies) used[id] = (used[id] ?? 0) + 1;
    return used;
  }

  /** The partition waits: told to the Web UI, the parent and the ledger. */
  async wait(failure: Failure): Promise<void> {
    this.outcome(failure.step).status = 'waiting';
    await this.enter('waiting', failure);
    await this.writeRow();
  }

  /** What waits has changed: a proposal came, or was turned down. */
  refresh(): void {
    setCurrentDetails(partitionDetails(this.state()));
  }

  /** A proposal was turned down: the partition goes on waiting. */
  rejected(decision: Decision, failure: Failure, { sql, sha256 }: { sql: string; sha256: string }): void {
    this.addDecision(decision, decision.via ?? 'person', failure, { sql, sha256, file: null });
    this.refresh();
  }

  /** A decision was taken: the partition goes on. */
  async decided(decision: Decision, way: DecisionWay, failure: Failure, fix: PreparedFix | null): Promise<void> {
    this.addDecision(decision, way, failure, fix);
    await this.enter('running', null);
  }

  private addDecision(
    decision: Decision,
    way: DecisionWay,
    failure: Failure,
    fix: Pick<PreparedFix, 'sql' | 'sha256' | 'file'> | null,
  ): void {
    this.decisions.push({
      action: decision.action,
      failure: failure.id,
      fingerprint: failure.fingerprint,
      step: failure.step,
      note: decision.note ?? null,
      decidedBy: decision.by ?? null,
      decidedAt: new Date().toISOString(),
      way,
      sql: fix?.sql ?? null,
      sha256: fix?.sha256 ?? null,
      file: fix?.file ?? null,
      afterwards: fix === null || decision.action === 'reject' ? null : (decision.then ?? 'retry'),
    });
  }

  /** This partition as people are told of it. */
  notice(failure: Failure): NoticePartition {
    const { id, fingerprint, kind, tests, message } = failure;
    const { proposal } = this.desk;
    return {
      partition: this.input.partition,
      status: this.status,
      step: this.step,
      failure: { id, fingerprint, kind, tests, message: message.slice(0, 1000) },
      proposal: proposal && {
        sha256: proposal.sha256,
        explanation: proposal.explanation,
        sql: proposal.sql,
        rows: proposal.rehearsal.rows,
        testPasses: proposal.rehearsal.testPasses,
      },
      decidesAt: this.desk.decidesAt,
    };
  }

  /** What a notice says of this partition while it runs, of a limit that was crossed. */
  warningNotice(warning: string): NoticePartition {
    return { ...UNEXPLAINED, partition: this.input.partition, status: this.status, step: this.step, warning };
  }

  /** Ends the run with its last row, which is returned where it is left to the backfill, and written otherwise. */
  async end(status: PartitionStatus): Promise<LedgerRow | undefined> {
    this.status = status;
    this.failure = null;
    this.show();
    if (status === 'succeeded' && this.input.recordedBy === 'backfill' && !this.parentWatches) return this.row();
    await this.writeRow();
    if (this.parentWatches) await this.tellParent();
    return undefined;
  }

  state(): PartitionState {
    return {
      pipeline: variantName(this.input.pipeline, this.input.vars),
      partition: this.input.partition,
      status: this.status,
      step: this.step,
      steps: [...this.outcomes.values()],
      failure: this.failure,
      decisions: this.decisions,
      proposal: this.desk.proposal,
      advising: this.desk.advising,
      decidesAt: this.desk.decidesAt,
    };
  }

  private async enter(status: 'waiting' | 'running', failure: Failure | null): Promise<void> {
    this.status = status;
    this.failure = failure;
    this.parentWatches = true;
    this.show();
    await this.tellParent();
  }

  /** Tells the Web UI the status, and the step with it. */
  private show(): void {
    this.shownStep = this.step;
    upsertSearchAttributes([
      { key: DAYFILL_STATUS, value: this.status },
      { key: DAYFILL_STEP, value: this.step },
    ]);
    this.refresh();
  }

  private async tellParent(): Promise<void> {
    const { parent } = workflowInfo();
    if (parent === undefined) return;
    const failure = this.failure && {
      id: this.failure.id,
      fingerprint: this.failure.fingerprint,
      message: this.failure.message.slice(0, 300),
    };
    const report = { status: this.status, step: this.step, failure, costUsd: this.costUsd };
    try {
      await getExternalWorkflowHandle(parent.workflowId).signal(partitionChangedSignal, {
        partition: this.input.partition,
        report,
      });
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('the backfill of this partition has ended and was not told', { error: String(error) });
    }
  }

  private async writeRow(): Promise<void> {
    const row = this.row();
    // A local activity holds the workflow task open: a decision in that task would be answered late, or lost with it.
    const isLocal = this.rendered?.localLedger === true && !this.parentWatches;
    await (isLocal ? recordLedgerLocally(row) : recordLedger([row]));
  }

  private row(): LedgerRow {
    const { workflowId, runId } = workflowInfo();
    const { bounds, sourceAsOf } = this.rendered ?? {
      bounds: { key: this.input.partition, start: this.input.partition, end: this.input.partition },
      sourceAsOf: this.startedAt,
    };
    this.rows += 1;
    return {
      pipeline: variantName(this.input.pipeline, this.input.vars),
      partition: this.input.partition,
      partitionStart: bounds.start,
      partitionEnd: bounds.end,
      status: this.status,
      workflowId,
      runId,
      sequence: this.rows,
      startedAt: this.startedAt,
      recordedAt: new Date().toISOString(),
      sourceAsOf,
      reason: this.input.reason ?? null,
      steps: [...this.outcomes.values()],
      decisions: this.decisions,
    };
  }

  private outcome(stepId: string): StepOutcome {
    let outcome = this.outcomes.get(stepId);
    if (outcome === undefined) {
      outcome = {
        id: stepId,
        status: 'pending',
        attempts: 0,
        remedies: [],
        durationMs: 0,
        counts: {},
        bytesBilled: null,
        slotMs: null,
        costUsd: null,
        jobIds: [],
        failure: null,
        log: null,
        state: null,
        warnings: [],
      };
      this.outcomes.set(stepId, outcome);
    }
    return outcome;
  }
}

function addUsage(outcome: StepOutcome, { bytesBilled, slotMs, costUsd }: Usage): void {
  outcome.bytesBilled = addKnown(outcome.bytesBilled, bytesBilled);
  outcome.slotMs = addKnown(outcome.slotMs, slotMs);
  // A step of an older version says nothing of it.
  outcome.costUsd = addKnown(outcome.costUsd, costUsd);
}
