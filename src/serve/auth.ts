import { createHash, timingSafeEqual } from 'node:crypto';
import type { NextFunction, Request, Response } from 'express';
import { ConfigError } from '../config.js';
import { errorBody } from './errors.js';

const VARIABLE = 'DAYFILL_API_TOKEN';
const USABLE = /^[\x21-\x7e]{16,}$/;

/** The tokens that callers may come with; only their digests are kept. */
export class Tokens {
  private readonly digests: Buffer[];

  /**
   * @param text tokens, separated by commas: while one replaces another, both are good.
   * @throws ConfigError when there is none, or one that is easily guessed.
   */
  constructor(text: string = process.env[VARIABLE] ?? '') {
    const tokens = text
      .split(',')
      .map((token) => token.trim())
      .filter((token) => token !== '');
    if (tokens.length === 0) {
      throw new ConfigError(
        `${VARIABLE} is not set: set it to the token that callers come with, e.g. of "openssl rand -hex 32".`,
      );
    }
    if (!tokens.every((token) => USABLE.test(token))) {
      throw new ConfigError(
        `${VARIABLE} is not usable: expected tokens of at least 16 printable characters without spaces, separated by commas.`,
      );
    }
    this.digests = tokens.map(digest);
  }

  /** Who calls, as a name that tells no token; null for whoever brings none of the tokens. */
  caller(authorization: string | undefined): string | null {
    const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return null;
    const given = digest(token);
    // Every one is compared, so that the time taken tells nothing.
    const known = this.digests.filter((own) => timingSafeEqual(own, given)).length > 0;
    return known ? given.toString('hex') : null;
  }
}

/** Puts the caller where the limits and `requireToken` find it. */
export function identify(tokens: Tokens) {
  return (request: Request, response: Response, next: NextFunction): void => {
    response.locals.caller = tokens.caller(request.headers.authorization);
    next();
  };
}

/** Lets only callers with a token through. */
export function requireToken(_request: Request, response: Response, next: NextFunction): void {
  if (response.locals.caller !== null) {
    next();
    return;
  }
  const message = 'The token is missing or wrong: send the header "Authorization: Bearer <token>".';
  response.status(401).set('WWW-Authenticate', 'Bearer').json(errorBody('UNAUTHENTICATED', message));
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
