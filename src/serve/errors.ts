import { ApolloServerErrorCode, unwrapResolverError } from '@apollo/server/errors';
import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import type { Logger } from 'pino';
import { maskPersonal } from '../runners/mask.js';

/** What `extensions.code` can be, besides the codes of Apollo Server for operations that are not valid. */
export type ErrorCode =
  | 'BAD_REQUEST'
  | 'BAD_USER_INPUT'
  | 'INTERNAL_SERVER_ERROR'
  | 'METHOD_NOT_ALLOWED'
  | 'NOT_FOUND'
  | 'OVERLOADED'
  | 'PAYLOAD_TOO_LARGE'
  | 'RATE_LIMITED'
  | 'SHUTTING_DOWN'
  | 'UNAUTHENTICATED'
  | 'UNKNOWN_EVENT'
  | 'UNKNOWN_SOURCE'
  | 'WAREHOUSE_ERROR'
  | 'WAREHOUSE_UNAVAILABLE';

/** An error of a field, as the caller gets it. */
export function refusal(code: ErrorCode, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code } });
}

/** The same as a whole answer, for what is refused before there is an operation. */
export function errorBody(code: ErrorCode, message: string) {
  return { errors: [{ message, extensions: { code } }] };
}

export const INTERNAL_ERROR = 'Something went wrong on our side: try again, and tell whoever runs this when it stays.';

/** Gives callers the sentence, the place and the code of an error, and nothing of how it came about. */
export function errorFormat(logger: Logger) {
  return (formatted: GraphQLFormattedError, thrown: unknown): GraphQLFormattedError => {
    const code = formatted.extensions?.code ?? ApolloServerErrorCode.INTERNAL_SERVER_ERROR;
    const unexpected = code === ApolloServerErrorCode.INTERNAL_SERVER_ERROR;
    if (unexpected) {
      const error = unwrapResolverError(thrown);
      logger.error({ error: maskPersonal(error instanceof Error ? (error.stack ?? error.message) : String(error)) });
    }
    const message = unexpected ? INTERNAL_ERROR : withoutValue(formatted.message);
    const { locations, path } = formatted;
    return { message, ...(locations && { locations }), ...(path && { path }), extensions: { code } };
  };
}

/** graphql-js shows the value of a variable that does not fit, which may be somebody's data. */
function withoutValue(message: string): string {
  return message.replace(/^(Variable "\$\w+") got invalid value .*$/s, '$1 has a value of the wrong type.');
}
