import { ApplicationFailure, condition, isCancellation, log, setHandler } from '@temporalio/workflow';
import type { FixSource } from '../contracts/activities.js';
import type { Decision, DecisionReceipt, DecisionWay } from '../contracts/decision.js';
import { BAD_INPUT, type Failure } from '../contracts/failure.js';
import type { Proposal, ProposalInput } from '../contracts/fix.js';
import { sha256Hex } from '../contracts/ids.js';
import { proposeUpdate, resolveSignal, resolveUpdate, standingOrderSignal } from '../contracts/messages.js';
import type { PartitionInput, PreparedFix } from '../contracts/partition.js';
import /* webpackDefer: true */ * as checks from './checks.js';
import { findCanary, prepareFix, rehearseProposal, stepFailureOf } from './run-step.js';

const EXAMPLE =
  'Answers the failure that waits. JSON: {"action":"retry"} or "skipStep", "skip", "abort"; {"action":"approve","proposal":"<sha256>","failure":"<id>"} or "reject"; {"action":"fix","file":"fixes/x.sql","failure":"<id>"}; optional "note", "by".';

/** What a person, or a rule, answered; `fix` is what runs before all else. */
export interface Answer {
  decision: Decision;
  way: DecisionWay;
  fix: PreparedFix | null;
}

/** A failure that waits for its answer. */
interface Question {
  failure: Failure;
  /** ISO time at which `decide_within` decides; null when it waits as long as it takes. */
  decidesAt: string | null;
  proposal: Proposal | null;
  advising: boolean;
  /** True while a fix or a proposal is being checked: a check takes seconds, and one answer counts. */
  checking: boolean;
  answer: Answer | null;
}

/** Where a failed step asks and a person answers: one question at a time, one answer for each. */
export class DecisionDesk {
  private question: Question | null = null;
  private fixes = 0;
  /** Failures that were once answered by a rule or for all alike: what did not heal then is not tried again by itself. */
  private readonly answeredUnasked = new Set<string>();

  /**
   * @param rejected called when a proposal is turned down; the failure goes on waiting.
   * @param proposed called when there is another proposal.
   */
  constructor(
    private readonly input: PartitionInput,
    private readonly rejected: (decision: Decision, failure: Failure, proposal: Proposal) => void,
    private readonly proposed: () => void,
  ) {
    const validator = (decision: unknown) => refuse(this.refusal(decision));
    setHandler(resolveUpdate, (decision) => this.take(decision, decision.via ?? 'person'), {
      validator,
      description: EXAMPLE,
    });
    setHandler(
      resolveSignal,
      (decision) =>
        droppingWhatIsRefused(async () => {
          validator(decision);
          await this.take(decision, decision.via ?? 'person');
        }),
      { description: EXAMPLE },
    );
    setHandler(standingOrderSignal, (order) => droppingWhatIsRefused(() => this.takeStanding(order)));
    setHandler(proposeUpdate, (proposal) => this.takeProposal(proposal), {
      validator: (proposal) => refuse(this.proposalRefusal(proposal)),
      description:
        'Puts SQL before the person who decides. JSON: {"failure":"<id>","sql":"…"}; optional "explanation", "by".',
    });
  }

  get proposal(): Proposal | null {
    return this.question?.proposal ?? null;
  }

  /** Whether an adviser is at work, or what someone said is being checked. */
  get advising(): boolean {
    return this.question !== null && (this.question.advising || this.question.checking);
  }

  get decidesAt(): string | null {
    return this.question?.decidesAt ?? null;
  }

  /** Waits, for as long as it takes, for the decision on a failure. */
  async ask(failure: Failure, decidesAt: string | null, advising: boolean): Promise<Answer> {
    const question: Question = { failure, decidesAt, advising, proposal: null, checking: false, answer: null };
    this.question = question;
    try {
      await condition(() => question.answer !== null);
      return question.answer!;
    } finally {
      this.question = null;
    }
  }

  /** What the adviser came up with; someone may have proposed something else meanwhile, which stays. */
  advised(proposal: Proposal | null): void {
    if (this.question === null) return;
    this.question.advising = false;
    this.question.proposal ??= proposal;
    this.proposed();
  }

  /** A rule of the pipeline decides, unless someone is doing so just now; each rule once for the same failure. */
  async decideByRule(decision: Decision, way: DecisionWay): Promise<void> {
    await condition(() => this.question?.checking !== true);
    const question = this.question;
    if (question === null || question.answer !== null) return;
    const once = `${way} ${question.failure.fingerprint}`;
    if (way === 'auto_apply' && this.answeredUnasked.has(once)) return;
    this.answeredUnasked.add(once);
    await droppingWhatIsRefused(() => this.take(decision, way));
  }

  /** Takes a decision that nothing speaks against; the SQL of a fix is checked first. */
  private async take(decision: Decision, way: DecisionWay): Promise<DecisionReceipt> {
    const question = this.question!;
    const { failure, proposal } = question;
    const receipt = { accepted: true, failure: failure.id, action: decision.action } as const;
    if (decision.action === 'reject') {
      question.proposal = null;
      this.rejected(decision, failure, proposal!);
      return receipt;
    }
    const source = sourceOf(decision, question);
    // Without a fix to check nothing may be awaited: another decision could come between.
    const fix = source && (await this.prepared(decision, question, source, decision.action === 'approve'));
    question.answer = { decision, way, fix };
    return receipt;
  }

  private prepared(
    { then = 'retry' }: Decision,
    question: Question,
    source: FixSource,
    proposed: boolean,
  ): Promise<PreparedFix> {
    this.fixes += 1;
    const options = { n: this.fixes, then, proposed };
    return checking(question, () => prepareFix(this.input, question.failure, source, options));
  }

  /** What healed another partition of the same fingerprint, as the ledger has it. */
  private async takeStanding(order: unknown): Promise<void> {
    const { failure: id, ...alike } = parsedOrRefused(checks.standingOrderSchema, order);
    refuse(this.refusal({ action: 'retry', failure: id }));
    const question = this.question!;
    const { fingerprint } = question.failure;
    if (alike.fingerprint !== fingerprint) return refuse(`The failure that waits has the fingerprint ${fingerprint}.`);
    const once = `all_alike ${fingerprint}`;
    if (this.answeredUnasked.has(once)) return refuse('What heals the others did not heal this one.');
    this.answeredUnasked.add(once);
    const canary = await checking(question, () => findCanary(this.input, alike));
    const { action, sql, then } = canary;
    const fix = sql === null ? null : await this.prepared({ action, then }, question, { sql }, true);
    const note = alike.note ?? `as ${canary.canary} was healed`;
    question.answer = {
      decision: { action, then, note, ...(alike.by !== undefined && { by: alike.by }) },
      way: 'all_alike',
      fix: fix && { ...fix, file: canary.file },
    };
  }

  private async takeProposal(proposal: ProposalInput): Promise<Proposal> {
    const question = this.question!;
    const checked = await checking(question, () => rehearseProposal(this.input, question.failure, proposal));
    question.proposal = checked;
    this.proposed();
    return checked;
  }

  /** Why a decision cannot be taken, in one sentence; null when it can. */
  private refusal(decision: unknown): string | null {
    const parsed = checks.decisionSchema.safeParse(decision);
    if (!parsed.success) return `The decision is not usable: ${checks.firstIssue(parsed.error)}.`;
    const { failure, action, proposal, via } = parsed.data;
    const closed = this.closed(failure);
    if (closed !== null) return closed;
    if (action !== 'approve' && action !== 'reject') return null;
    const shown = this.proposal;
    if (shown === null) return 'There is no proposal to decide on.';
    // What is named is the text itself, whatever a proposal says of it.
    const hash = sha256Hex(shown.sql);
    if (proposal !== undefined && proposal !== hash) {
      return `The decision names the proposal "${proposal}", but the one that is shown is "${hash}".`;
    }
    if (action === 'approve' && via === 'mcp' && shown.viaMcp) {
      return 'This fix was proposed through MCP, and what proposed it cannot approve it: a person has to.';
    }
    return null;
  }

  private proposalRefusal(proposal: unknown): string | null {
    const parsed = checks.proposalInputSchema.safeParse(proposal);
    if (!parsed.success) return `The proposal is not usable: ${checks.firstIssue(parsed.error)}.`;
    return this.closed(parsed.data.failure);
  }

  /** Why nothing can be said about a failure just now. */
  private closed(failure: string | undefined): string | null {
    if (this.question === null) return 'Nothing waits for a decision here.';
    if (this.question.answer !== null) return 'This failure has its decision already.';
    if (failure !== undefined && failure !== this.question.failure.id) {
      return `The decision answers failure "${failure}", but "${this.question.failure.id}" is waiting.`;
    }
    if (this.question.checking)
      return 'Another decision or proposal is being checked just now: look again in a moment.';
    return null;
  }
}

/** Where the SQL of a decision comes from; null when it has none. */
function sourceOf({ action, file, sql }: Decision, { proposal }: Question): FixSource | null {
  if (action === 'approve') return { sql: proposal!.sql };
  if (action !== 'fix') return null;
  return file === undefined ? { sql: sql! } : { file };
}

function refuse(refusal: string | null): void {
  if (refusal !== null) throw ApplicationFailure.nonRetryable(refusal, BAD_INPUT);
}

function parsedOrRefused<T>(schema: { safeParse(value: unknown): { success: boolean; data?: T } }, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) refuse('The message is not usable.');
  return parsed.data!;
}

/** Holds the question while something is checked for it; a refusal is the check's one sentence. */
async function checking<T>(question: Question, check: () => Promise<T>): Promise<T> {
  question.checking = true;
  try {
    return await check();
  } catch (error) {
    throw ApplicationFailure.nonRetryable(stepFailureOf(error).message, BAD_INPUT);
  } finally {
    question.checking = false;
  }
}

/** A signal, or a rule, has nobody to tell of a refusal. */
async function droppingWhatIsRefused(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('a decision was dropped', { reason: error instanceof Error ? error.message : String(error) });
  }
}
