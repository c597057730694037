import { maxAliasesRule } from '@escape.tech/graphql-armor-max-aliases';
import { maxDepthRule } from '@escape.tech/graphql-armor-max-depth';
import type { Response } from 'express';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';
import type { GraphQLError, ValidationContext, ValidationRule } from 'graphql';
import { errorBody } from './errors.js';

/** Of a request's body, in bytes. */
export const BODY_LIMIT = 16 * 1024;
/** Calls of `processEvent` that wait for their turn; the next one is refused. */
export const MOST_WAITING = 50;
/** How often one is tried again whose transaction met another one on the same tables. */
export const MOST_RETRIES = 5;
/** Of the warehouse, for a script and for a look-up. */
export const SCRIPT_TIMEOUT_MS = 300_000;
export const LOOK_UP_TIMEOUT_MS = 30_000;
export const READY_TIMEOUT_MS = 3_000;
/** Persons that an identifier is told to belong to. */
export const MOST_PERSONS = 100;
/** Of an id or an identifier. */
export const MOST_CHARACTERS = 256;
/** Words and signs of an operation; what tools ask to learn the schema has less. */
export const MOST_TOKENS = 1000;
/** Fields of an operation after its fragments are filled in. */
export const MOST_SELECTIONS = 500;

const MOST_DEPTH = 5;
const MOST_ALIASES = 3;

// Thrown, as the rules do by themselves, they would be errors of the server.
const reported = {
  propagateOnRejection: false,
  onReject: [(context: ValidationContext | null, error: GraphQLError) => context?.reportError(error)],
};

/** Bounds what one operation asks for: without them a single request could process a thousand events. */
export const operationRules: ValidationRule[] = [
  maxAliasesRule({ n: MOST_ALIASES, ...reported }),
  maxDepthRule({ n: MOST_DEPTH, flattenFragments: true, ...reported }),
] as ValidationRule[];

/** Requests a minute of each token; of each address, for those without one. */
export function requestRate(limit: number) {
  return rateLimit({
    windowMs: 60_000,
    limit,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    keyGenerator: (request, response) => (response as Response).locals.caller ?? ipKeyGenerator(request.ip ?? ''),
    handler: (_request, response) => {
      const message = `More than ${limit} requests in a minute: wait as long as the header Retry-After says, in seconds.`;
      response.status(429).json(errorBody('RATE_LIMITED', message));
    },
  });
}
