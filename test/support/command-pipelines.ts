import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WorkflowFailedError, type WorkflowHandle, WorkflowNotFoundError } from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { stringify } from 'yaml';
import { type Dayfill, openDayfill } from '../../src/client/open.js';
import type { AddReceipt, BackfillInput, BackfillResult, Progress } from '../../src/contracts/backfill.js';
import type { Decision, DecisionReceipt } from '../../src/contracts/decision.js';
import type { Failure } from '../../src/contracts/failure.js';
import { backfillId, partitionId, TASK_QUEUE, type Vars, variantName } from '../../src/contracts/ids.js';
import type { LedgerRow } from '../../src/contracts/ledger.js';
import type { PartitionInput, PartitionResult, PartitionState } from '../../src/contracts/partition.js';
import { until } from '../stack/fixtures/processes.js';
import { startTestStack, type TestStack } from './stack.js';

const PROGRAM = path.resolve('test/support/step-program.mjs');

export type BackfillHandle = WorkflowHandle<(input: BackfillInput) => Promise<BackfillResult>>;
export type DayHandle = WorkflowHandle<(input: PartitionInput) => Promise<PartitionResult>>;

/** A stack with a worker, and a folder of pipelines whose steps do what files on disk tell them. */
export interface CommandStack {
  stack: TestStack;
  dayfill: Dayfill;
  /** Writes a pipeline of its own for a test. */
  pipeline(name: string, file?: PipelineChanges): CommandPipeline;
  stop(): Promise<void>;
}

export interface CommandStackOptions {
  /** A server that runs already. @default one of the stack's own */
  temporalAddress?: string;
  /** Settings of the worker on top. */
  env?: Record<string, string>;
}

export async function startCommandStack({
  temporalAddress,
  env: extra,
}: CommandStackOptions = {}): Promise<CommandStack> {
  const pipelinesDir = mkdtempSync(path.join(tmpdir(), 'dayfill-pipelines-'));
  const env: Record<string, string> = { DAYFILL_PIPELINES: pipelinesDir, ...extra };
  if (temporalAddress !== undefined) env.TEMPORAL_ADDRESS = temporalAddress;
  const stack = await startTestStack({ services: ['temporal', 'bigquery', 'worker'], env });
  const config = stack.config();
  const dayfill = await openDayfill({ ...config, stackTemporal: temporalAddress ?? config.stackTemporal });
  return {
    stack,
    dayfill,
    pipeline: (name, file) => new CommandPipeline(dayfill, path.join(pipelinesDir, name), name, file),
    async stop() {
      await dayfill.close();
      await stack.stop();
      rmSync(pipelinesDir, { recursive: true, force: true });
    },
  };
}

/** What a pipeline file says besides what all of them do. */
export type PipelineChanges = Record<string, unknown> & { steps?: unknown[] };

/** One pipeline: its file, the switches of its steps, and its workflows. */
export class CommandPipeline {
  constructor(
    private readonly dayfill: Dayfill,
    /** Absolute. */
    readonly dir: string,
    readonly name: string,
    private readonly changes: PipelineChanges = {},
  ) {
    mkdirSync(dir, { recursive: true });
    this.write(this.text());
  }

  /** The pipeline file; `more` goes over what it was made with. */
  text(more: PipelineChanges = {}): string {
    const steps = [this.step('crm', { title: 'CRM ingestion' }), this.step('identity')];
    const partition = { every: '1d', start: '2025-07-01', end: '2025-08-31' };
    return stringify({ pipeline: this.name, partition, steps, ...this.changes, ...more });
  }

  write(text: string): void {
    writeFileSync(path.join(this.dir, 'pipeline.yaml'), text);
  }

  /** A step that can be held, broken and mended by `<partition>.<id>`. */
  step(id: string, more: Record<string, unknown> = {}): Record<string, unknown> {
    return { id, ...commandStep(this.dir, id), ...more };
  }

  /** What runs beside a step, such as after a fix: it can be held, broken and mended in the same way. */
  work(id: string): Record<string, unknown> {
    return commandStep(this.dir, id);
  }

  /** A remedy whose run mends the step, unless it is broken itself as `<partition>.<id>`. */
  remedy(id: string, mends: string, more: Record<string, unknown> = {}): Record<string, unknown> {
    return { id, when: { exit_code: 7 }, run: [commandStep(this.dir, id, mends)], then: 'retry', ...more };
  }

  /** Makes runs of a step stay at their beginning until released. */
  hold(step: string): void {
    writeFileSync(path.join(this.dir, `${step}.hold`), '');
  }

  release(step: string): void {
    rmSync(path.join(this.dir, `${step}.hold`));
  }

  break(step: string): void {
    writeFileSync(path.join(this.dir, `${step}.fail`), '');
  }

  mend(step: string): void {
    rmSync(path.join(this.dir, `${step}.fail`));
  }

  /** Makes a run of the step put this in the place of the pipeline file. */
  poison(step: string, text: string): void {
    writeFileSync(path.join(this.dir, `${step}.poison`), text);
  }

  /** Steps as `<partition>.<step>`, in the order in which they began, each as often as it ran. */
  began(): string[] {
    return this.log('begin').map(({ step }) => step);
  }

  ended(): string[] {
    return this.log('end').map(({ step }) => step);
  }

  /** Begins and ends in their order, with the process of each. */
  log(word?: 'begin' | 'end'): { word: string; step: string; pid: number }[] {
    let text = '';
    try {
      text = readFileSync(path.join(this.dir, 'log'), 'utf8');
    } catch {
      return []; // no step has run yet
    }
    const lines = text.split('\n').filter((line) => line !== '');
    const entries = lines.map((line) => line.split(' ') as [string, string, string]);
    return entries
      .filter(([first]) => word === undefined || first === word)
      .map(([first, step, pid]) => ({ word: first, step, pid: Number(pid) }));
  }

  /** Waits until the step has begun, and gives its process. */
  async hasBegun(step: string): Promise<number> {
    const entry = await until(`${step} of ${this.name} to begin`, () =>
      this.log('begin').find((candidate) => candidate.step === step),
    );
    return entry.pid;
  }

  backfill(vars?: Vars): BackfillHandle {
    return this.dayfill.temporal.workflow.getHandle(backfillId(this.name, vars));
  }

  day(partition: string, vars?: Vars): DayHandle {
    return this.dayfill.temporal.workflow.getHandle(partitionId(this.name, partition, vars));
  }

  /** Starts a backfill as anyone with a Temporal client would, plan or no plan. */
  start(input: Omit<BackfillInput, 'pipeline'>): Promise<BackfillHandle> {
    return this.dayfill.temporal.workflow.start('backfill', {
      workflowId: backfillId(this.name, input.vars),
      taskQueue: TASK_QUEUE,
      args: [{ pipeline: this.name, ...input }],
    });
  }

  startDay(partition: string, input: Omit<PartitionInput, 'pipeline' | 'partition'> = {}): Promise<DayHandle> {
    return this.dayfill.temporal.workflow.start('partition', {
      workflowId: partitionId(this.name, partition, input.vars),
      taskQueue: TASK_QUEUE,
      args: [{ pipeline: this.name, partition, ...input }],
    });
  }

  /** Starts a backfill and waits for its end. */
  async run(input: Omit<BackfillInput, 'pipeline'>): Promise<BackfillResult> {
    return (await this.start(input)).result();
  }

  state(partition: string): Promise<PartitionState> {
    return this.day(partition).query('state');
  }

  progress(vars?: Vars): Promise<Progress> {
    return this.backfill(vars).query('progress');
  }

  add(add: { from?: string; to?: string; partitions?: string[] }): Promise<AddReceipt> {
    return this.backfill().executeUpdate('add', { args: [add] });
  }

  resolve(partition: string, decision: Decision): Promise<DecisionReceipt> {
    return this.day(partition).executeUpdate('resolve', { args: [decision] });
  }

  /** Waits until the partition waits for a decision on a failure other than `before`. */
  waiting(partition: string, before?: Failure): Promise<Failure> {
    return until(`${partition} of ${this.name} to wait for a decision`, async () => {
      const { failure } = (await ifStarted(this.state(partition))) ?? { failure: null };
      return failure?.id === before?.id ? null : failure;
    });
  }

  /** Waits until the backfill's progress is as wanted. */
  until(what: string, condition: (progress: Progress) => boolean): Promise<Progress> {
    return until(`${what} in ${this.name}`, async () => {
      const progress = await ifStarted(this.progress());
      return progress !== null && condition(progress) ? progress : null;
    });
  }

  /** Every row of the ledger, oldest first within a partition. */
  rows(vars?: Vars): Promise<LedgerRow[]> {
    return this.dayfill.ledger.rows(variantName(this.name, vars));
  }

  /** `<partition> <status>` of every row. */
  async recorded(vars?: Vars): Promise<string[]> {
    return (await this.rows(vars)).map(({ partition, status }) => `${partition} ${status}`);
  }
}

function commandStep(dir: string, id: string, mends?: string): Record<string, unknown> {
  const run = [process.execPath, PROGRAM, dir, `\${partition}.${id}`];
  if (mends !== undefined) run.push(`\${partition}.${mends}`);
  return { uses: 'command', with: { run } };
}

async function ifStarted<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** The sentence with which a workflow failed. */
export async function failureOf(handle: WorkflowHandle): Promise<{ type: string | undefined; message: string }> {
  try {
    await handle.result();
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const cause = error.cause as Error & { type?: string };
    return { type: cause.type, message: cause.message };
  }
  throw new Error(`${handle.workflowId} did not fail`);
}

/** The Markdown that the Web UI shows of a workflow. */
export async function currentDetails(handle: WorkflowHandle): Promise<string> {
  return (await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')).currentDetails;
}

/** Type and summary of each activity in a workflow's history, in order. */
export async function activitiesOf(handle: WorkflowHandle): Promise<{ type: string; summary: string | null }[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap((event) => {
    const type = event.activityTaskScheduledEventAttributes?.activityType?.name;
    if (type == null) return [];
    const summary = event.userMetadata?.summary;
    return [{ type, summary: summary ? textOf(summary) : null }];
  });
}

export function textOf(payload: Payload): string {
  return defaultPayloadConverter.fromPayload<string>(payload);
}
