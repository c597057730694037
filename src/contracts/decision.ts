import { z } from 'zod';
import { MAX_FIX_SQL } from './fix.js';

const text = z.string().max(2000);
const ONLY_WITH: Record<string, readonly string[]> = {
  file: ['fix'],
  sql: ['fix'],
  proposal: ['approve', 'reject'],
  then: ['fix', 'approve'],
};

const fixText = z.string().min(1).max(MAX_FIX_SQL);

/**
 * What a person says about a waiting step. `failure` names the failure it answers and must match when given; a decision
 * that changes data (`fix`, `approve`) must name it.
 */
export const decisionSchema = z
  .strictObject({
    action: z.enum(['retry', 'fix', 'approve', 'reject', 'skipStep', 'skip', 'abort']),
    failure: text.optional(),
    /** Of `fix`: a SQL file of the pipeline's folder, or the SQL itself where the pipeline allows it. */
    file: text.optional(),
    sql: fixText.optional(),
    /** Of `approve` and `reject`: SHA-256 of the proposal's SQL. */
    proposal: text.optional(),
    /** Of `fix` and `approve`: whether the step runs again after the fix, or the fix stands in for it. */
    then: z.enum(['retry', 'continue']).optional(),
    note: text.optional(),
    /** Who says they decided; a claim, not a proof. */
    by: text.optional(),
    /** That it came through the MCP server. */
    via: z.literal('mcp').optional(),
  })
  .superRefine((decision, context) => {
    const complain = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    const { action, file, sql } = decision;
    if (action === 'fix' && (file === undefined) === (sql === undefined)) {
      complain('file', 'a fix names either a file or its sql');
    }
    if (action === 'approve' && decision.proposal === undefined) complain('proposal', 'approve names the proposal');
    if ((action === 'fix' || action === 'approve') && decision.failure === undefined) {
      complain('failure', `${action} names the failure that it answers; see the query state`);
    }
    for (const [name, actions] of Object.entries(ONLY_WITH)) {
      if (decision[name as keyof typeof decision] !== undefined && !actions.includes(action)) {
        complain(name, `goes with ${actions.join(' or ')} only`);
      }
    }
  });
export type Decision = z.infer<typeof decisionSchema>;
export type DecisionAction = Decision['action'];

/** What `resolve` answers; what came of it is in `show`. */
export interface DecisionReceipt {
  accepted: true;
  failure: string;
  action: DecisionAction;
}

/** How a decision came about: by a person, through MCP, by rule of the pipeline, or for every failure alike. */
export type DecisionWay = 'person' | 'mcp' | 'auto_apply' | 'decide_within' | 'all_alike';

/** A decision as it was taken, for the ledger. */
export interface DecisionRecord {
  action: DecisionAction;
  failure: string;
  fingerprint: string;
  step: string;
  note: string | null;
  decidedBy: string | null;
  /** ISO time. */
  decidedAt: string;
  way: DecisionWay;
  /** Of `fix` and `approve`: what ran, its SHA-256, the file it came from, and what followed it. */
  sql: string | null;
  sha256: string | null;
  file: string | null;
  afterwards: 'retry' | 'continue' | null;
}

/**
 * One decision for every failure alike: argument of a backfill's update `resolveAlike`. Without a decision, the one that
 * healed a partition of that fingerprint.
 */
export const alikeSchema = z.strictObject({
  fingerprint: z.string().regex(/^[0-9a-f]{12}$/, 'expected a fingerprint of 12 hex digits; see the query state'),
  action: z.enum(['retry', 'fix', 'approve']).optional(),
  file: text.optional(),
  proposal: text.optional(),
  note: text.optional(),
  by: text.optional(),
  via: z.literal('mcp').optional(),
});
export type AlikeInput = z.infer<typeof alikeSchema>;

/** From a backfill, or from whoever releases parked partitions: what stands for all alike is to answer this failure. */
export const standingOrderSchema = alikeSchema.extend({ failure: text });
export type StandingOrder = z.infer<typeof standingOrderSchema>;

/** What healed a partition before and now stands for every failure of its fingerprint. */
export interface StandingDecision {
  fingerprint: string;
  action: 'retry' | 'fix' | 'approve';
  /** What was run then and is run again; null for `retry`. */
  sql: string | null;
  file: string | null;
  then: 'retry' | 'continue';
  /** The partition that it healed. */
  canary: string;
  note: string | null;
  by: string | null;
}

/** What `resolveAlike` answers. */
export interface AlikeReceipt {
  fingerprint: string;
  action: StandingDecision['action'];
  canary: string;
  /** Partitions that waited with it and were told. */
  released: string[];
  /** Whether it stands for later partitions too: while a backfill runs. */
  stands: boolean;
}

/** One sentence for the first thing wrong with a value, by the schema that refused it. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return 'not valid';
  const where = issue.path.join('.');
  return where === '' ? issue.message : `${where}: ${issue.message}`;
}
