import { condition, log, setHandler } from '@temporalio/workflow';
import { type Decision, type DecisionReceipt, decisionSchema, firstIssue } from '../contracts/decision.js';
import type { Failure } from '../contracts/failure.js';
import { resolveSignal, resolveUpdate } from '../contracts/messages.js';

const EXAMPLE =
  'Answers the failure that waits. JSON: {"action":"retry"} or "skipStep", "skip", "abort"; optional "failure", "note", "by".';

/** Where a failed step asks and a person answers: one question at a time, one answer for each. */
export class DecisionDesk {
  private question: Failure | null = null;
  private answer: Decision | null = null;

  constructor() {
    setHandler(resolveUpdate, (decision) => this.accept(decision), {
      validator: (decision) => {
        const refusal = this.refusal(decision);
        if (refusal !== null) throw new Error(refusal);
      },
      description: EXAMPLE,
    });
    setHandler(
      resolveSignal,
      (decision) => {
        const refusal = this.refusal(decision);
        if (refusal === null) this.accept(decision);
        else log.warn('a signal was dropped', { reason: refusal });
      },
      { description: EXAMPLE },
    );
  }

  /** Waits, for as long as it takes, for the decision on a failure. */
  async ask(failure: Failure): Promise<Decision> {
    this.question = failure;
    this.answer = null;
    try {
      await condition(() => this.answer !== null);
      return this.answer!;
    } finally {
      this.question = null;
    }
  }

  private accept(decision: Decision): DecisionReceipt {
    this.answer = decision;
    return { accepted: true, failure: this.question!.id, action: decision.action };
  }

  /** Why a decision cannot be taken, in one sentence; null when it can. */
  private refusal(decision: unknown): string | null {
    const parsed = decisionSchema.safeParse(decision);
    if (!parsed.success) return `The decision is not usable: ${firstIssue(parsed.error)}.`;
    if (this.question === null) return 'Nothing waits for a decision here.';
    if (this.answer !== null) return 'This failure has its decision already.';
    const { failure } = parsed.data;
    if (failure !== undefined && failure !== this.question.id) {
      return `The decision answers failure "${failure}", but "${this.question.id}" is waiting.`;
    }
    return null;
  }
}
