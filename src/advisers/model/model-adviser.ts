import { APICallError, generateText, type LanguageModel, type ModelMessage, RetryError } from 'ai';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { maskPersonal } from '../../runners/mask.js';
import { firstBytes } from '../../runners/text.js';
import { withTimeLimit } from '../../time-limit.js';
import type { AdviceContext, Adviser, RefusedSuggestion, Suggestion } from '../adviser.js';
import { type Prompt, promptFor } from './prompt.js';
import type { Provided } from './provider.js';
import { answerTools, nothingSchema, proposeSchema, readingTools } from './tools.js';

const MOST_TURNS = 8;
const MOST_OUTPUT_TOKENS = 16_000;
const TIMEOUT_MS = 90_000;

type Answer = { proposal: z.output<typeof proposeSchema> } | { nothing: string };

export interface ModelAdviserOptions {
  /** `provider/model`. */
  name: string;
  provided: Provided;
  logger: Logger;
  /** How long a suggestion may take in all. */
  timeoutMs?: number;
}

/**
 * Asks a language model, which may look at columns, compiled SQL and masked rows. Whatever goes wrong with it is logged
 * in one sentence and counts as nothing to suggest: what it says is only ever a suggestion.
 */
export class ModelAdviser implements Adviser {
  readonly name: string;
  private readonly provided: Provided;
  private readonly logger: Logger;
  private readonly timeoutMs: number;

  constructor({ name, provided, logger, timeoutMs = TIMEOUT_MS }: ModelAdviserOptions) {
    this.name = name;
    this.provided = provided;
    this.logger = logger;
    this.timeoutMs = timeoutMs;
  }

  async propose(context: AdviceContext, refused?: RefusedSuggestion): Promise<Suggestion | null> {
    const { model, keyName } = this.provided;
    if (model === null) return this.none(context, `there is no key for it: set ${keyName} for the worker`);
    const prompt = await promptFor(context, refused);
    const signal = withTimeLimit(context.signal, this.timeoutMs);
    try {
      const answer = await this.converse(model, context, prompt, signal);
      if ('nothing' in answer) return this.none(context, answer.nothing);
      const { sql, explanation, confidence, expectedRows } = answer.proposal;
      return { sql, explanation: maskPersonal(explanation), confidence, remedyClass: 'model', expectedRows };
    } catch (error) {
      context.signal.throwIfAborted();
      return this.none(context, signal.aborted ? `it took longer than ${this.timeoutMs / 1000} s` : this.reason(error));
    }
  }

  /** One turn after the other, until it answers: as many as may be, and one complaint about how it answers. */
  private async converse(
    model: LanguageModel,
    context: AdviceContext,
    { system, user }: Prompt,
    signal: AbortSignal,
  ): Promise<Answer> {
    const messages: ModelMessage[] = [{ role: 'user', content: user }];
    const reading = readingTools(context);
    let complained = false;
    for (let turn = 1; turn <= MOST_TURNS; turn++) {
      const { toolCalls, finishReason, response } = await generateText({
        model,
        system,
        messages,
        tools: turn < MOST_TURNS ? { ...reading, ...answerTools } : answerTools,
        maxOutputTokens: MOST_OUTPUT_TOKENS,
        abortSignal: signal,
        // What is sent is the business of nobody but the provider, who need not keep it.
        providerOptions: { openai: { store: false } },
      });
      if (finishReason === 'content-filter') return { nothing: 'it refused to answer' };
      const [call] = toolCalls.filter(({ toolName }) => toolName in answerTools);
      const answer = call === undefined ? null : answerOf(call.toolName, call.input);
      const whole = finishReason === 'stop' || finishReason === 'tool-calls';
      if (answer !== null && whole) return answer;
      // A call that was cut has no result, and may not stand in a conversation without one.
      if (whole) messages.push(...response.messages);
      if (call === undefined && toolCalls.length > 0 && whole) continue;
      if (complained) return { nothing: 'it answered twice in a form that is not the agreed one' };
      complained = true;
      messages.push({ role: 'user', content: complaintAbout(call, !whole) });
    }
    return { nothing: `it did not answer within ${MOST_TURNS} turns` };
  }

  private none({ failure }: AdviceContext, why: string): null {
    this.logger.warn({ failure: failure.id }, `${this.name} suggests nothing: ${firstBytes(maskPersonal(why), 500)}`);
    return null;
  }

  private reason(error: unknown): string {
    const cause = RetryError.isInstance(error) ? error.lastError : error;
    if (!APICallError.isInstance(cause)) return cause instanceof Error ? cause.message : String(cause);
    const { statusCode } = cause;
    if (statusCode === 401 || statusCode === 403) {
      return `its provider refused the key in ${this.provided.keyName}: set one that may use it`;
    }
    return statusCode === undefined ? cause.message : `its provider answered ${statusCode}: ${cause.message}`;
  }
}

/** Null for one that the schema refuses. */
function answerOf(toolName: string, input: unknown): Answer | null {
  if (toolName === 'propose') {
    const { data } = proposeSchema.safeParse(input);
    return data === undefined ? null : { proposal: data };
  }
  const { data } = nothingSchema.safeParse(input);
  return data === undefined ? null : { nothing: data.reason };
}

function complaintAbout(call: { toolName: string; input: unknown } | undefined, cut: boolean): string {
  const again = 'Answer again with one call of "propose" or "nothing".';
  if (cut) return `Your answer was too long and was cut. ${again}`;
  if (call === undefined) return `You called no tool. ${again}`;
  const { error } = (call.toolName === 'propose' ? proposeSchema : nothingSchema).safeParse(call.input);
  const [issue] = error?.issues ?? [];
  const what = issue === undefined ? 'is not usable' : `is not usable: ${[...issue.path, issue.message].join(': ')}`;
  return `Your call of "${call.toolName}" ${what}. ${again}`;
}
