import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { Logger } from 'pino';
import type { AdviceContext, Adviser, RefusedSuggestion, Suggestion } from '../advisers/adviser.js';
import { pastDecisions } from '../advisers/past-decisions.js';
import { WarehouseReader } from '../advisers/warehouse-reader.js';
import type { Config } from '../config.js';
import type { FixActivities } from '../contracts/activities.js';
import { BAD_INPUT, type Failure } from '../contracts/failure.js';
import { type FixRules, MAX_FIX_SQL, type Proposal, type ProposalInput, type Rehearsal } from '../contracts/fix.js';
import type { Vars } from '../contracts/ids.js';
import { sha256Hex, variantName } from '../contracts/ids.js';
import type { PartitionInput } from '../contracts/partition.js';
import type { PartitionBounds } from '../contracts/step.js';
import { boundsOf } from '../pipeline/calendar.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { PartitionError, PipelineError } from '../pipeline/errors.js';
import { renderFixRules } from '../pipeline/render.js';
import { maskPersonal } from '../runners/mask.js';
import { personalWord } from '../runners/personal-names.js';
import { firstBytes } from '../runners/text.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import { readEvidence } from '../warehouse/fixes/evidence.js';
import type { SqlGuard } from '../warehouse/fixes/guard.js';
import { rehearseFix } from '../warehouse/fixes/rehearse.js';
import type { Ledger } from '../warehouse/ledger.js';
import { beating } from './beating.js';

/** It travels in histories and in the answer to queries. */
const PROPOSAL_BYTES = 65_536;
const EXPLANATION_BYTES = 2000;
/** Confidence at most, where the rehearsal is not what the adviser promised. */
const DOUBTFUL = 0.3;

export interface AdviceDeps {
  config: Pick<Config, 'stateDir'>;
  clients: BigQueryClients;
  ledger: Ledger;
  guard: SqlGuard;
  /** Who is asked, in this order. */
  advisers: Adviser[];
  logger: Logger;
  loadPipeline(name: string, vars?: Vars): PipelineDefinition;
}

/** Proposals: from the advisers, and from people and agents; each rehearsed. */
export function adviceActivities(deps: AdviceDeps): Pick<FixActivities, 'advise' | 'rehearseProposal'> {
  return {
    advise: beating((input, failure) => untilCancelled((signal) => advised(deps, input, failure, signal))),
    rehearseProposal: beating((input, failure, proposal) =>
      untilCancelled(() => rehearsed(deps, input, failure, proposal)),
    ),
  };
}

async function advised(
  deps: AdviceDeps,
  input: PartitionInput,
  failure: Failure,
  signal: AbortSignal,
): Promise<Proposal | null> {
  const context = await contextFor(deps, input, failure, signal);
  if (context === null) return null;
  for (const adviser of deps.advisers) {
    const proposal = await proposalOf(deps, adviser, context);
    if (proposal !== null) return proposal;
  }
  return null;
}

/** Null where a fix would not be allowed, or not be known to be. */
async function contextFor(
  { config, clients, ledger, loadPipeline, logger }: AdviceDeps,
  input: PartitionInput,
  failure: Failure,
  signal: AbortSignal,
): Promise<AdviceContext | null> {
  const { rules, partition, problem } = placeOf(loadPipeline, input);
  if (problem !== null) {
    logger.info({ failure: failure.id }, `no advice: ${problem}`);
    return null;
  }
  const rows = await ledger.rows(variantName(input.pipeline, input.vars));
  return {
    failure,
    partition,
    rules,
    tests: await readEvidence(config.stateDir, failure.evidence),
    past: pastDecisions(rows, failure.fingerprint),
    warehouse: new WarehouseReader(clients(rules.project), rules, partition),
    signal,
  };
}

/** Asks one adviser, and once more when what it suggests will not do; null without a suggestion that does. */
async function proposalOf(deps: AdviceDeps, adviser: Adviser, context: AdviceContext): Promise<Proposal | null> {
  let refused: RefusedSuggestion | undefined;
  for (;;) {
    context.signal.throwIfAborted();
    const suggestion = await adviser.propose(context, refused);
    if (suggestion === null) return null;
    const { rehearsal, reason } = await rehearsedSuggestion(deps, context, suggestion.sql);
    if (reason === null) return proposal(adviser, context, suggestion, rehearsal!);
    deps.logger.warn(
      { failure: context.failure.id, adviser: adviser.name, class: suggestion.remedyClass },
      `a suggestion will not do: ${reason}`,
    );
    if (refused !== undefined) return null;
    refused = { sql: suggestion.sql, reason };
  }
}

async function rehearsedSuggestion(
  deps: AdviceDeps,
  { rules, partition, tests }: AdviceContext,
  sql: string,
): Promise<{ rehearsal: Rehearsal | null; reason: string | null }> {
  if (sql.length > MAX_FIX_SQL) return { rehearsal: null, reason: `It is longer than ${MAX_FIX_SQL} characters.` };
  const rehearsal = await rehearseFix({ ...deps, mask: maskPersonal, personalWord }, { sql, rules, partition, tests });
  if (!rehearsal.allowed) return { rehearsal, reason: rehearsal.reason };
  return { rehearsal, reason: rehearsal.rows === 0 ? 'It changes no row of this partition.' : null };
}

function proposal(
  adviser: Adviser,
  { failure }: AdviceContext,
  { sql, explanation, confidence, remedyClass, expectedRows }: Suggestion,
  rehearsal: Rehearsal,
): Proposal {
  const { rows, testPasses } = rehearsal;
  const doubts = [
    ...(testPasses === false ? ['The failing test fails on the result too.'] : []),
    ...(expectedRows !== null && rows !== null && rows !== expectedRows
      ? [`It was expected to change ${expectedRows} rows and changes ${rows}.`]
      : []),
  ];
  return small({
    failure: failure.id,
    sql,
    sha256: sha256Hex(sql),
    explanation: firstBytes([explanation, ...doubts].join(' '), EXPLANATION_BYTES),
    confidence: doubts.length > 0 ? Math.min(confidence, DOUBTFUL) : confidence,
    remedyClass,
    proposedBy: adviser.name,
    viaMcp: false,
    rehearsal,
  });
}

async function rehearsed(
  deps: AdviceDeps,
  input: PartitionInput,
  failure: Failure,
  { sql, explanation = '', by, viaMcp = false }: ProposalInput,
): Promise<Proposal> {
  const { rules, partition, problem } = placeOf(deps.loadPipeline, input);
  if (problem !== null) throw ApplicationFailure.nonRetryable(problem, BAD_INPUT);
  const tests = await readEvidence(deps.config.stateDir, failure.evidence);
  const rehearsal = await rehearseFix({ ...deps, mask: maskPersonal, personalWord }, { sql, rules, partition, tests });
  if (!rehearsal.allowed) {
    throw ApplicationFailure.nonRetryable(rehearsal.reason ?? 'The SQL is not allowed.', BAD_INPUT);
  }
  return small({
    failure: failure.id,
    sql,
    sha256: sha256Hex(sql),
    explanation: maskPersonal(explanation),
    confidence: 0.5,
    remedyClass: 'person',
    proposedBy: by ?? (viaMcp ? 'someone through MCP' : 'someone'),
    viaMcp,
    rehearsal,
  });
}

type Place =
  | { rules: FixRules; partition: PartitionBounds; problem: null }
  | { rules?: never; partition?: never; problem: string };

/** What a fix may do, and where; or why there can be none, in one sentence. */
function placeOf(loadPipeline: AdviceDeps['loadPipeline'], input: PartitionInput): Place {
  try {
    const definition = loadPipeline(input.pipeline, input.vars);
    const rules = renderFixRules(definition, input.vars);
    return { rules, partition: boundsOf(definition, input.partition), problem: null };
  } catch (error) {
    if (error instanceof PartitionError || error instanceof PipelineError) return { problem: error.message };
    throw error;
  }
}

/** With as many of the sample's rows as there is room for. */
function small(proposal: Proposal): Proposal {
  const sample = [...proposal.rehearsal.sample];
  const fitting = () => ({ ...proposal, rehearsal: { ...proposal.rehearsal, sample } });
  while (sample.length > 0 && Buffer.byteLength(JSON.stringify(fitting())) > PROPOSAL_BYTES) sample.pop();
  return fitting();
}

/** A query that runs on when nobody wants its answer is bounded in bytes and time: it is left alone. */
function untilCancelled<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { cancelled, cancellationSignal } = Context.current();
  return Promise.race([work(cancellationSignal), cancelled]);
}
