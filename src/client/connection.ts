import { Client, Connection, isGrpcServiceError } from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { type Config, DEFAULT_PORTS } from '../config.js';
import { NoTemporalError } from './errors.js';

/** Where Temporal is: the environment, else temporal.toml, else the embedded stack, else the usual port of this machine. */
export function temporalConnectConfig(config: Config) {
  const { connectionOptions, namespace } = loadClientConnectConfig();
  const address = connectionOptions.address ?? config.stackTemporal ?? `127.0.0.1:${DEFAULT_PORTS.temporal}`;
  return { connectionOptions: { ...connectionOptions, address }, namespace: namespace ?? 'default' };
}

/**
 * Connects to Temporal.
 * @throws NoTemporalError when nothing answers.
 */
export async function connectClient(config: Config): Promise<{ client: Client; namespace: string }> {
  const { connectionOptions, namespace } = temporalConnectConfig(config);
  try {
    const connection = await Connection.connect({
      ...connectionOptions,
      connectTimeout: '5 seconds',
      // A server that is back is to be noticed at once: by default it is left alone for up to two minutes.
      channelArgs: { 'grpc.max_reconnect_backoff_ms': 1000 },
    });
    return { client: new Client({ connection, namespace }), namespace };
  } catch (cause) {
    throw noTemporal(connectionOptions.address, cause);
  }
}

/** gRPC's UNAVAILABLE. */
const UNAVAILABLE = 14;

/** What a failed call to Temporal means in one sentence; any other error as it is. */
export function clearTemporalError(error: unknown, config: Config): unknown {
  if (error instanceof NamespaceNotFoundError) {
    return new NoTemporalError(
      `Temporal has no namespace "${error.namespace}": create it with "temporal operator namespace create ${error.namespace}", or set TEMPORAL_NAMESPACE.`,
      { cause: error },
    );
  }
  const unavailable = [error, (error as Error).cause].some((e) => isGrpcServiceError(e) && e.code === UNAVAILABLE);
  return unavailable ? noTemporal(temporalConnectConfig(config).connectionOptions.address, error) : error;
}

function noTemporal(address: string, cause: unknown): NoTemporalError {
  return new NoTemporalError(
    `Temporal does not answer at ${address}: start the stack with "dayfill stack up", or set TEMPORAL_ADDRESS.`,
    { cause },
  );
}
