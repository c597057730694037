import {
  ApplicationFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  isCancellation,
  log,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { Decision } from '../contracts/decision.js';
import { type Failure, PARTITION_FAILED } from '../contracts/failure.js';
import type { Proposal } from '../contracts/fix.js';
import { partitionId, shortHash, stepKey, variantName } from '../contracts/ids.js';
import { limitWarningSignal, stateQuery } from '../contracts/messages.js';
import { type StepRevisions, UNEXPLAINED } from '../contracts/notice.js';
import type {
  DecideWithin,
  PartitionInput,
  PartitionResult,
  RemedyPlan,
  RenderedPartition,
  RenderedStep,
} from '../contracts/partition.js';
import type { PartitionStatus } from '../contracts/status.js';
import /* webpackDefer: true */ * as checks from './checks.js';
import { type Answer, DecisionDesk } from './decision-desk.js';
import { badInput, checkedInput } from './input.js';
import { takeLock } from './lock.js';
import { tell } from './notification.js';
import { PartitionRecord } from './partition-record.js';
import { advise, loadPartition, matchRemedies, plainFailure, runStep, stepFailureOf } from './run-step.js';

/** Stands for a step while the pipeline file is read. */
const LOAD = '(load)';

/** What became of a step, or of the whole partition at that step. */
type StepEnding = 'done' | 'skipPartition' | 'abort';

/** What follows the answer to a failure: the step again, what the pipeline runs after a fix, or an end of the step. */
type AfterAnswer = 'retry' | 'afterFix' | 'fixed' | 'skipStep' | 'skip' | 'abort';

/**
 * One partition of a pipeline: its steps in order; for a failure the first remedies that cover it, otherwise a question
 * that waits for a person as long as it takes.
 */
export async function partition(rawInput: unknown): Promise<PartitionResult> {
  // What a backfill starts it has checked.
  const input = workflowInfo().parent?.workflowId.startsWith('backfill/')
    ? (rawInput as PartitionInput)
    : checkedInput(checks.partitionInputSchema, rawInput, (i) => partitionId(i.pipeline, i.partition, i.vars));
  const desk = new DecisionDesk(
    input,
    (decision, failure, proposal) => record.rejected(decision, failure, proposal),
    () => record.refresh(),
  );
  const record = new PartitionRecord(input, desk);
  const run = new PartitionRun(input, record, desk);
  setHandler(stateQuery, () => record.state(), { description: 'Status, steps and the failure that waits.' });
  setHandler(limitWarningSignal, (warning) => run.warn(warning));
  try {
    const status = await run.steps();
    // A day that is done stays done, whoever cancels it now.
    const row = await CancellationScope.nonCancellable(async () => {
      const left = await record.end(status);
      if (status === 'fixed') await run.tellFixed();
      await run.tellRevised(status);
      await condition(allHandlersFinished);
      return left;
    });
    return { ...result(input, status, record.costUsd), ...(row && { row }) };
  } catch (error) {
    if (isCancellation(error)) {
      await CancellationScope.nonCancellable(async () => {
        run.noteCancellation();
        await record.end('failed');
        await run.tellRevised('failed');
      });
    }
    throw error;
  }
}

function result(input: PartitionInput, status: PartitionStatus, costUsd: number | null): PartitionResult {
  const day = { pipeline: input.pipeline, partition: input.partition, status, costUsd };
  if (status === 'failed') {
    const message = `${input.partition} failed and was not healed.`;
    throw ApplicationFailure.create({
      message,
      type: PARTITION_FAILED,
      nonRetryable: true,
      details: [{ ...day, message } satisfies PartitionResult],
    });
  }
  const verb = status === 'skipped' ? 'was skipped' : 'ingestion all done';
  const message = `date ${input.partition} ${verb}`;
  log.info(message);
  return { ...day, message };
}

/** The walk through the steps of one partition. */
class PartitionRun {
  private rendered: RenderedPartition | null = null;
  private readonly settled = new Set<string>();
  private readonly revised: StepRevisions[] = [];
  private current: string = LOAD;

  constructor(
    private readonly input: PartitionInput,
    private readonly record: PartitionRecord,
    private readonly desk: DecisionDesk,
  ) {}

  /** Runs all steps; resolves to how the partition ended. */
  async steps(): Promise<PartitionStatus> {
    let ending = await this.load();
    for (let step = this.next(); ending === 'done' && step !== undefined; step = this.next()) {
      this.current = step.id;
      this.record.beginStep(step.id);
      ending = await this.settle(step.id);
      this.settled.add(step.id);
    }
    if (ending === 'abort') return 'failed';
    if (ending === 'skipPartition' || this.record.skippedAStep) return 'skipped';
    return this.record.healed ? 'fixed' : 'succeeded';
  }

  /** The step under way was cut off: kept as its failure, unless it waits with one of its own. */
  noteCancellation(): void {
    if (!this.record.waiting) {
      this.record.addFailure(this.current, plainFailure('cancelled', 'The run was cancelled.'), 0);
    }
    this.record.endStep(this.current, 'failed');
  }

  /** The file may have changed between two steps, so what comes next is looked up, not counted. */
  private next(): RenderedStep | undefined {
    return this.rendered?.steps.find((step) => !this.settled.has(step.id));
  }

  /** Reads the pipeline file. A file that is wrong ends a single run at once, and makes a day of a backfill wait. */
  private async load(): Promise<StepEnding> {
    const broken = await this.tryLoad(LOAD);
    if (broken !== null) {
      if (workflowInfo().parent === undefined) throw badInput(broken.message);
      const answer = await this.answer(LOAD, broken);
      if (answer === 'skipStep' || answer === 'skip' || answer === 'abort') {
        return this.endAt(LOAD, answer === 'skipStep' ? 'skip' : answer);
      }
      this.record.endStep(LOAD, 'fixed');
    }
    if (this.rendered!.lock !== null) await takeLock(this.rendered!.lock);
    return 'done';
  }

  /** One step, until it succeeded, was healed, or a person said what else. */
  private async settle(id: string): Promise<StepEnding> {
    let next: AfterAnswer = 'retry';
    for (let healed = false; ; healed = true) {
      if (next !== 'retry' && next !== 'afterFix') return this.endAt(id, next);
      let failure: Failure | null = next === 'retry' ? await this.attempt(id) : await this.afterFix(id);
      if (failure === null) return this.endAt(id, healed ? 'fixed' : 'succeeded');
      failure = await this.cleanedUp(id, failure);

      const remedies = await this.remediesFor(id, failure);
      if (remedies !== null) {
        this.record.addRemedies(id, remedies.ids);
        failure = await this.runAll(id, remedies.run);
        if (failure === null && remedies.then === 'continue') return this.endAt(id, 'fixed');
        failure = failure && (await this.cleanedUp(id, failure));
      }
      next = failure === null ? 'retry' : await this.answer(id, failure);
    }
  }

  /** Asks until an answer could be carried out: a fix that fails, or a pipeline file that cannot be read, asks again. */
  private async answer(id: string, failure: Failure): Promise<AfterAnswer> {
    let applied: Decision | null = null;
    for (let open = failure; ; ) {
      const { decision, fix } = await this.decide(open);
      const { action } = decision;
      if (action === 'skipStep' || action === 'skip' || action === 'abort') return action;
      let broken = fix && (await this.run(id, fix.step));
      if (fix !== null && broken === null) applied = decision;
      broken ??= await this.tryLoad(id);
      if (broken === null) return applied === null ? 'retry' : applied.then === 'continue' ? 'fixed' : 'afterFix';
      open = broken;
    }
  }

  /** Reads the pipeline file as it is now; null when it could be used. */
  private async tryLoad(stepId: string): Promise<Failure | null> {
    try {
      this.rendered = await loadPartition(this.input);
      this.record.load(this.rendered);
      return null;
    } catch (error) {
      return this.record.addFailure(stepId, stepFailureOf(error), 0);
    }
  }

  /** A pipeline file that cannot be read just now has no remedies: the person who is asked reads it anew. */
  private async remediesFor(id: string, failure: Failure): Promise<RemedyPlan | null> {
    try {
      return await matchRemedies(this.input, id, failure, this.record.usedRemedies(id));
    } catch (error) {
      log.warn('the remedies could not be looked up', { reason: stepFailureOf(error).message });
      return null;
    }
  }

  /** Runs the step itself; null when it succeeded. */
  private async attempt(id: string): Promise<Failure | null> {
    this.record.addAttempt(id);
    const step = this.rendered!.steps.find((candidate) => candidate.id === id);
    if (step !== undefined) return this.run(id, step);
    const gone = plainFailure(
      'pipeline',
      `The pipeline file no longer has the step "${id}": put it back or skip the step.`,
    );
    return this.record.addFailure(id, gone, 0);
  }

  /** What stands for the step once a fix was applied: what the pipeline says, or the step itself. */
  private async afterFix(id: string): Promise<Failure | null> {
    const works = this.rendered!.steps.find((step) => step.id === id)?.afterFix ?? [];
    if (works.length === 0) return this.attempt(id);
    const n = this.record.fixCount;
    return this.runAll(
      id,
      works.map((work) => ({ ...work, id: `${work.id}.${n}` })),
    );
  }

  /** After a crossed limit the step's cleanup runs; what keeps it from doing so is told with the failure. */
  private async cleanedUp(id: string, failure: Failure): Promise<Failure> {
    if (failure.kind !== 'limit') return failure;
    const works = this.rendered!.steps.find((step) => step.id === id)?.cleanup ?? [];
    const broken = await this.runAll(id, works);
    if (broken === null) return failure;
    const message = `${failure.message} Its cleanup failed: ${broken.message}`;
    return this.record.addFailure(id, { ...failure, message }, 0);
  }

  /** Runs the parts of remedies in order; the first failure is a failure of the step, never silently retried. */
  private async runAll(stepId: string, parts: RenderedStep[]): Promise<Failure | null> {
    for (const part of parts) {
      const failure = await this.run(stepId, part);
      if (failure !== null) return failure;
    }
    return null;
  }

  private async run(stepId: string, step: RenderedStep): Promise<Failure | null> {
    const began = Date.now();
    try {
      const stepResult = await runStep(step, {
        key: stepKey(this.input.pipeline, this.input.partition, step.id, this.input.vars),
        pipeline: this.input.pipeline,
        partition: this.rendered!.bounds,
        step: step.id,
        project: this.rendered!.project,
        with: step.with,
        timeoutMs: step.timeoutMs,
        retry: step.retry,
        ...(step.limits !== undefined && { limits: step.limits }),
      });
      this.record.addResult(stepId, stepResult, Date.now() - began);
      if (stepResult.revised !== undefined) this.revised.push({ step: stepId, ...stepResult.revised });
      return null;
    } catch (error) {
      return this.record.addFailure(stepId, stepFailureOf(error), Date.now() - began);
    }
  }

  /** Asks a person, unless a failure is to stop everything. Meanwhile an adviser is asked and people are told. */
  private async decide(failure: Failure): Promise<Pick<Answer, 'decision' | 'fix'>> {
    const onFailure = this.input.onFailure ?? this.rendered?.onFailure ?? 'wait';
    if (onFailure === 'stop') return { decision: { action: 'abort' }, fix: null };
    const { decideWithin = null, fixes = false } = this.rendered ?? {};
    const decidesAt = decideWithin && new Date(Date.now() + decideWithin.timeMs).toISOString();
    const asked = this.desk.ask(failure, decidesAt, fixes && failure.kind !== 'pipeline');
    const meanwhile = new CancellationScope();
    const around = meanwhile.run(() => this.whileItWaits(failure)).catch(loggingUnlessCancelled);
    try {
      const [{ decision, way, fix }] = await Promise.all([asked, this.record.wait(failure)]);
      meanwhile.cancel();
      await this.record.decided(decision, way, failure, fix);
      return { decision, fix };
    } finally {
      meanwhile.cancel();
      await around;
    }
  }

  /** What goes on around a failure that waits: a proposal, people who are told and reminded, and what decides when nobody has. */
  private async whileItWaits(failure: Failure): Promise<void> {
    const { decideWithin, notifies } = this.rendered ?? { decideWithin: null, notifies: false };
    const event = failure.kind === 'limit' ? 'limit' : 'waiting';
    await Promise.all([
      this.advise(failure).then(() => (notifies ? this.tell(event, failure, failure.fingerprint) : undefined)),
      decideWithin && this.decideWithin(failure, decideWithin),
    ]);
  }

  private async advise(failure: Failure): Promise<void> {
    if (!this.desk.advising) return;
    const proposal = await this.askAdviser(failure);
    this.desk.advised(proposal);
    if (proposal === null || this.desk.proposal !== proposal) return;
    const { remedyClass, rehearsal, sha256 } = proposal;
    const mostRows = this.rendered?.autoApply[remedyClass];
    if (mostRows === undefined || rehearsal.rows === null || rehearsal.rows > mostRows || !rehearsal.testPasses) return;
    const note = `auto_apply allows ${remedyClass} up to ${mostRows} rows`;
    await this.desk.decideByRule({ action: 'approve', proposal: sha256, failure: failure.id, note }, 'auto_apply');
  }

  private async askAdviser(failure: Failure): Promise<Proposal | null> {
    try {
      return await advise.executeWithOptions({ summary: `${this.input.partition} · advice` }, [this.input, failure]);
    } catch (error) {
      log.warn('the adviser could not help', { reason: stepFailureOf(error).message });
      return null;
    }
  }

  /** Reminds people until the time is up, then decides. */
  private async decideWithin(failure: Failure, { timeMs, action, remindMs }: DecideWithin): Promise<void> {
    const end = Date.now() + timeMs;
    for (let left = timeMs; left > 0; left = end - Date.now()) {
      await sleep(Math.min(left, remindMs ?? left), { summary: `decides ${action} at ${new Date(end).toISOString()}` });
      if (Date.now() >= end || !this.rendered?.notifies) continue;
      await this.tell('reminder', failure, String(Math.floor(Date.now() / (remindMs ?? timeMs))));
    }
    const note = `nobody decided within ${timeMs / 1000} s`;
    await this.desk.decideByRule({ action, failure: failure.id, note }, 'decide_within');
  }

  /** A partition that had waited is done: told once for each incident. */
  async tellFixed(): Promise<void> {
    const healed = this.record.lastHealed;
    if (healed !== null && this.rendered?.notifies) await this.tell('fixed', healed, healed.fingerprint);
  }

  /** A step under way has crossed a limit, and goes on. */
  async warn(given: unknown): Promise<void> {
    const parsed = checks.limitWarningSchema.safeParse(given);
    if (!parsed.success) return log.warn('a signal was dropped', { reason: checks.firstIssue(parsed.error) });
    const { step, message } = parsed.data;
    if (step !== this.current && !step.startsWith(`${this.current}.`)) {
      return log.warn('a signal was dropped', { reason: `the step under way is ${this.current}, not ${step}` });
    }
    this.record.addWarning(this.current, message);
    if (!this.rendered?.notifies) return;
    const pipeline = variantName(this.input.pipeline, this.input.vars);
    const occasion = `${this.input.partition}/${step}/${shortHash(message)}`;
    await tell(
      { event: 'limit', pipeline, partitions: [this.record.warningNotice(message)], backfill: null },
      occasion,
    );
  }

  /** Days whose totals this run has changed: told once, when it has ended. */
  async tellRevised(status: PartitionStatus): Promise<void> {
    if (this.revised.length === 0 || !this.rendered?.notifies) return;
    const { partition, pipeline, vars } = this.input;
    const partitions = [{ partition, status, ...UNEXPLAINED }];
    const notice = { event: 'revised' as const, pipeline: variantName(pipeline, vars), partitions, backfill: null };
    await tell({ ...notice, revised: this.revised }, partition);
  }

  private tell(event: 'waiting' | 'reminder' | 'fixed' | 'limit', failure: Failure, occasion: string): Promise<void> {
    const pipeline = variantName(this.input.pipeline, this.input.vars);
    return tell({ event, pipeline, partitions: [this.record.notice(failure)], backfill: null }, occasion);
  }

  private endAt(stepId: string, ending: 'succeeded' | Exclude<AfterAnswer, 'retry' | 'afterFix'>): StepEnding {
    switch (ending) {
      case 'succeeded':
      case 'fixed':
        this.record.endStep(stepId, ending);
        return 'done';
      case 'skipStep':
        this.record.endStep(stepId, 'skipped');
        return 'done';
      case 'skip':
        this.record.endStep(stepId, 'skipped');
        return 'skipPartition';
      case 'abort':
        this.record.endStep(stepId, 'failed');
        return 'abort';
    }
  }
}

function loggingUnlessCancelled(error: unknown): void {
  if (!isCancellation(error)) log.error('something around a waiting failure went wrong', { error: String(error) });
}
