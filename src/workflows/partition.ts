import {
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  log,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { DecisionAction } from '../contracts/decision.js';
import type { Failure } from '../contracts/failure.js';
import { partitionId, stepKey } from '../contracts/ids.js';
import { stateQuery } from '../contracts/messages.js';
import {
  PARTITION_FAILED,
  type PartitionInput,
  type PartitionResult,
  partitionInputSchema,
  type RemedyPlan,
  type RenderedPartition,
  type RenderedStep,
} from '../contracts/partition.js';
import type { PartitionStatus } from '../contracts/status.js';
import { DecisionDesk } from './decision-desk.js';
import { badInput, checkedInput } from './input.js';
import { takeLock } from './lock.js';
import { PartitionRecord } from './partition-record.js';
import { loadPartition, matchRemedies, plainFailure, runStep, stepFailureOf } from './run-step.js';

/** Stands for a step while the pipeline file is read. */
const LOAD = '(load)';

/** What became of a step, or of the whole partition at that step. */
type StepEnding = 'done' | 'skipPartition' | 'abort';

/**
 * One partition of a pipeline: its steps in order; for a failure the first remedies that cover it, otherwise a question
 * that waits for a person as long as it takes.
 */
export async function partition(rawInput: unknown): Promise<PartitionResult> {
  const input = checkedInput(partitionInputSchema, rawInput, (i) => partitionId(i.pipeline, i.partition, i.vars));
  const record = new PartitionRecord(input);
  const run = new PartitionRun(input, record, new DecisionDesk());
  setHandler(stateQuery, () => record.state(), { description: 'Status, steps and the failure that waits.' });
  try {
    const status = await run.steps();
    // A day that is done stays done, whoever cancels it now.
    await CancellationScope.nonCancellable(() => record.end(status));
    return result(input, status);
  } catch (error) {
    if (isCancellation(error)) {
      await CancellationScope.nonCancellable(async () => {
        run.noteCancellation();
        await record.end('failed');
      });
    }
    throw error;
  }
}

function result(input: PartitionInput, status: PartitionStatus): PartitionResult {
  const day = { pipeline: input.pipeline, partition: input.partition, status };
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
    for (;;) {
      const failure = await this.tryLoad(LOAD);
      if (failure === null) break;
      if (workflowInfo().parent === undefined) throw badInput(failure.message);
      const action = await this.decide(failure);
      if (action !== 'retry') return this.endAt(LOAD, action === 'skipStep' ? 'skip' : action);
      this.record.endStep(LOAD, 'fixed');
    }
    if (this.rendered!.lock !== null) await takeLock(this.rendered!.lock);
    return 'done';
  }

  /** One step, until it succeeded, was healed, or a person said what else. */
  private async settle(id: string): Promise<StepEnding> {
    let healed = false;
    for (;;) {
      let failure = await this.attempt(id);
      if (failure === null) return this.endAt(id, healed ? 'fixed' : 'succeeded');

      const remedies = await this.remediesFor(id, failure);
      if (remedies !== null) {
        healed = true;
        this.record.addRemedies(id, remedies.ids);
        failure = await this.runAll(id, remedies.run);
        if (failure === null && remedies.then === 'retry') continue;
        if (failure === null) return this.endAt(id, 'fixed');
      }

      let action = await this.decide(failure);
      while (action === 'retry') {
        const broken = await this.tryLoad(id);
        if (broken === null) break;
        action = await this.decide(broken);
      }
      if (action !== 'retry') return this.endAt(id, action);
      healed = true;
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
      });
      this.record.addResult(stepId, stepResult, Date.now() - began);
      return null;
    } catch (error) {
      return this.record.addFailure(stepId, stepFailureOf(error), Date.now() - began);
    }
  }

  /** Asks a person, unless a failure is to stop everything. */
  private async decide(failure: Failure): Promise<DecisionAction> {
    const onFailure = this.input.onFailure ?? this.rendered?.onFailure ?? 'wait';
    if (onFailure === 'stop') return 'abort';
    const [decision] = await Promise.all([this.desk.ask(failure), this.record.wait(failure)]);
    await this.record.decided(decision, failure);
    return decision.action;
  }

  private endAt(stepId: string, ending: 'succeeded' | 'fixed' | Exclude<DecisionAction, 'retry'>): StepEnding {
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
