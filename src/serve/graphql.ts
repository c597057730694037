import type { Server } from 'node:http';
import { ApolloServer } from '@apollo/server';
import {
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from '@apollo/server/plugin/disabled';
import { ApolloServerPluginDrainHttpServer } from '@apollo/server/plugin/drainHttpServer';
import type { Logger } from 'pino';
import { errorFormat } from './errors.js';
import { MOST_SELECTIONS, MOST_TOKENS, operationRules } from './limits.js';
import type { createResolvers } from './resolvers.js';
import { typeDefs } from './schema.js';

export interface GraphqlOptions {
  resolvers: ReturnType<typeof createResolvers>;
  httpServer: Server;
  logger: Logger;
  /** Then clients cannot ask for the schema. */
  production: boolean;
}

/** The GraphQL server, for an HTTP server of ours. */
export function createGraphqlServer({ resolvers, httpServer, logger, production }: GraphqlOptions): ApolloServer {
  return new ApolloServer({
    typeDefs,
    resolvers,
    logger,
    formatError: errorFormat(logger),
    includeStacktraceInErrorResponses: false,
    introspection: !production,
    hideSchemaDetailsFromClientErrors: production,
    parseOptions: { maxTokens: MOST_TOKENS },
    maxRecursiveSelections: MOST_SELECTIONS,
    validationRules: operationRules,
    allowBatchedHttpRequests: false,
    csrfPrevention: true,
    persistedQueries: false,
    stopOnTerminationSignals: false,
    plugins: [
      ApolloServerPluginDrainHttpServer({ httpServer }),
      ApolloServerPluginLandingPageDisabled(),
      // It would start by itself where APOLLO_KEY is set for something else.
      ApolloServerPluginUsageReportingDisabled(),
    ],
  });
}
