import type { ApolloServer } from '@apollo/server';
import { expressMiddleware } from '@as-integrations/express5';
import express, { type Express, type NextFunction, type Request, type Response, type Router } from 'express';
import type { Logger } from 'pino';
import { identify, requireToken, type Tokens } from './auth.js';
import { type ErrorCode, errorBody, INTERNAL_ERROR } from './errors.js';
import { BODY_LIMIT, requestRate } from './limits.js';
import type { UnderWay } from './under-way.js';

export interface AppParts {
  graphql: ApolloServer;
  health: Router;
  tokens: Tokens;
  /** Requests a minute. */
  rateLimit: number;
  underWay: UnderWay;
  logger: Logger;
}

/** What happens to a request, in this order: cheap refusals first, so that nobody without a token costs much. */
export function createApp({ graphql, health, tokens, rateLimit, underWay, logger }: AppParts): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use(health);
  app.use('/graphql', identify(tokens), requestRate(rateLimit), requireToken, onlyPost, underWay.track);
  app.use('/graphql', express.json({ limit: BODY_LIMIT }), expressMiddleware(graphql));
  app.use((_request, response) => {
    response.status(404).json(errorBody('NOT_FOUND', 'There is nothing here: POST to /graphql.'));
  });
  app.use(onError(logger));
  return app;
}

/** A GET would leave what it asks for in the logs of every proxy. */
function onlyPost(request: Request, response: Response, next: NextFunction): void {
  if (request.method === 'POST') next();
  else response.status(405).set('Allow', 'POST').json(errorBody('METHOD_NOT_ALLOWED', 'Operations are sent by POST.'));
}

function onError(logger: Logger) {
  // Express tells by the fourth parameter that this is for errors.
  return (error: Error & { status?: number }, _request: Request, response: Response, _next: NextFunction): void => {
    const [status, code, message] = told(error);
    if (status >= 500) logger.error({ error: error.name }, 'a request failed');
    response.status(status).json(errorBody(code, message));
  };
}

function told({ status = 500 }: { status?: number }): [number, ErrorCode, string] {
  if (status === 413)
    return [status, 'PAYLOAD_TOO_LARGE', `The request is larger than ${BODY_LIMIT} bytes: send less.`];
  if (status < 500) return [status, 'BAD_REQUEST', 'The request cannot be read: send JSON, as UTF-8.'];
  return [500, 'INTERNAL_SERVER_ERROR', INTERNAL_ERROR];
}
