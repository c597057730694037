/**
 * What workflows check that comes from outside. A workflow evaluates its modules anew, and zod with its schemas is most of
 * them: imported with `webpackDefer`, they are evaluated by those runs alone that check something, which a good day does not.
 */
export { addInputSchema, backfillInputSchema, partitionChangeSchema } from '../contracts/backfill.js';
export { catchUpInputSchema, digestInputSchema } from '../contracts/catch-up.js';
export { alikeSchema, decisionSchema, firstIssue, standingOrderSchema } from '../contracts/decision.js';
export { proposalInputSchema } from '../contracts/fix.js';
export { limitWarningSchema, resumeInputSchema } from '../contracts/limits.js';
export { partitionInputSchema } from '../contracts/partition.js';
