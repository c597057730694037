import type { Config } from '../config.js';

export const SERVICE_NAMES = ['temporal', 'bigquery', 'storage', 'worker'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** Something that a service can be reached by; it is listed in stack.json and in the status under its own name. */
export interface Endpoint {
  name: string;
  /** The port it has when nothing else holds it; null for one that listens nowhere. */
  usualPort: number | null;
  address(port: number | null): string;
}

/** What a service needs to know of its surroundings. */
export interface Surroundings {
  config: Config;
  environment: NodeJS.ProcessEnv;
  /** Addresses of the stack's other services, in the words of stack.json. */
  addresses: Readonly<Record<string, string>>;
}

/** A service as it runs: the leader of its process group, and the port of each of its endpoints. */
export interface Running {
  pid: number;
  ports: readonly (number | null)[];
}

export interface Launch {
  program: string;
  args: string[];
  environment?: Record<string, string>;
  /** Folders that must be there. */
  folders?: string[];
}

/** A service of the embedded stack: how it is started, and how one sees that it works. */
export interface Service {
  readonly name: ServiceName;
  readonly endpoints: readonly [Endpoint, ...Endpoint[]];
  /** Services that must work first. */
  readonly after: readonly ServiceName[];
  readonly startWithinMs: number;
  /** How long it may take to end by itself. */
  readonly stopWithinMs: number;
  /** Where the environment says that this service already is; null when it is the stack's to start. */
  providedAt(environment: NodeJS.ProcessEnv): string | null;
  /**
   * How to start it.
   * @throws StackError when something that it needs is not installed.
   */
  launch(surroundings: Surroundings, ports: readonly (number | null)[]): Launch;
  isHealthy(surroundings: Surroundings, running: Running): Promise<boolean>;
  /** What is to be done once it works, before anyone uses it. */
  prepare?(surroundings: Surroundings, running: Running): Promise<void>;
  /** Something that changes when a running one is out of date. */
  version?(surroundings: Surroundings): string;
}
