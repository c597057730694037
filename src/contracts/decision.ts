import { z } from 'zod';

const text = z.string().max(2000);

/** What a person says about a waiting step. `failure` names the failure it answers and must match when given. */
export const decisionSchema = z.strictObject({
  action: z.enum(['retry', 'skipStep', 'skip', 'abort']),
  failure: text.optional(),
  note: text.optional(),
  /** Who says they decided; a claim, not a proof. */
  by: text.optional(),
});
export type Decision = z.infer<typeof decisionSchema>;
export type DecisionAction = Decision['action'];

/** What `resolve` answers; what came of it is in `show`. */
export interface DecisionReceipt {
  accepted: true;
  failure: string;
  action: DecisionAction;
}

/** A decision as it was taken, for the ledger. */
export interface DecisionRecord {
  action: DecisionAction;
  failure: string;
  step: string;
  note: string | null;
  decidedBy: string | null;
  /** ISO time. */
  decidedAt: string;
}

/** One sentence for the first thing wrong with a value, by the schema that refused it. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return 'not valid';
  const where = issue.path.join('.');
  return where === '' ? issue.message : `${where}: ${issue.message}`;
}
