import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { clearLockedPorts } from 'get-port';
import type { Config } from '../config.js';
import { DiedAtStart } from './errors.js';
import { spawnService, waitUntilHealthy } from './launch.js';
import { choosePorts, isAnyTaken } from './ports.js';
import { accepts } from './reachability.js';
import { type Running, SERVICE_NAMES, type Service, type ServiceName, type Surroundings } from './service.js';
import { SERVICES } from './services/index.js';
import { withStackLock } from './stack-lock.js';
import { type StackEntry, StateFile } from './state-file.js';
import { isRunning, stopService } from './stop.js';

export interface StackOptions {
  config: Config;
  /** Takes one line for people at a time. */
  log: (line: string) => void;
  /** When it is aborted, what the call started is stopped again. */
  signal?: AbortSignal | undefined;
  /** @default all of them */
  services?: readonly ServiceName[] | undefined;
  /** Ports to prefer to the usual ones, by endpoint; 0 for any that is free. */
  usualPorts?: Readonly<Record<string, number>> | undefined;
  /** @default process.env */
  environment?: NodeJS.ProcessEnv | undefined;
}

/** One line of `stack status`; `pid` is null for what is down or not the stack's own. */
export interface ServiceStatus {
  name: string;
  state: 'up' | 'down';
  pid: number | null;
  address: string | null;
}

/** How long a service that runs may take to answer before it counts as hung. */
const HUNG_AFTER_MS = 5000;
const POLL_MS = 50;
/** A port may be taken between its choice and its use. */
const ATTEMPTS = 3;

/**
 * Starts what is not up of the embedded stack and waits until it works. What is up stays; what died or hangs is
 * started again, on its old port and with its data. Read the configuration again afterwards: addresses may be new.
 * @throws StackError
 */
export async function stackUp(options: StackOptions): Promise<void> {
  const { config, log, signal } = options;
  await withStackLock(config.stateDir, log, signal, () => new StackStart(options).run());
}

/** Stops every service of the embedded stack and waits until they are gone. Data stays. */
export async function stackDown({ config, log }: Pick<StackOptions, 'config' | 'log'>): Promise<void> {
  if (!existsSync(config.stateDir)) {
    log('nothing is running');
    return;
  }
  await withStackLock(config.stateDir, log, undefined, async () => {
    const state = new StateFile(config.stateDir);
    const started = SERVICES.filter((service) => state.of(service) !== null);
    if (started.length === 0) log('nothing is running');
    const stop = async (service: Service) => {
      await stopService(service, state.of(service)![0]!);
      state.remove(service);
      log(`${service.name}: stopped`);
    };
    // The worker first, while what it needs to end in good order is still there.
    await Promise.all(started.filter(({ after }) => after.length > 0).map(stop));
    await Promise.all(started.filter(({ after }) => after.length === 0).map(stop));
  });
}

/** What is up, by asking each service; one that the environment provides is asked where it is. */
export async function stackStatus({
  config,
  environment = process.env,
}: Pick<StackOptions, 'config' | 'environment'>): Promise<ServiceStatus[]> {
  const state = new StateFile(config.stateDir);
  const surroundings = { config, environment, addresses: state.addresses() };
  const statuses = await Promise.all(SERVICES.map((service) => statusOf(service, state, surroundings)));
  return statuses.flat();
}

async function statusOf(service: Service, state: StateFile, surroundings: Surroundings): Promise<ServiceStatus[]> {
  const provided = service.providedAt(surroundings.environment);
  if (provided !== null) {
    return [{ name: service.name, state: (await accepts(provided)) ? 'up' : 'down', pid: null, address: provided }];
  }
  const entries = state.of(service);
  if (entries === null || !isRunning(entries[0]!) || !(await service.isHealthy(surroundings, runningOf(entries)))) {
    return service.endpoints.map(({ name }) => ({ name, state: 'down', pid: null, address: null }));
  }
  return entries.map(({ name, pid, address }) => ({ name, state: 'up', pid, address: address || null }));
}

function runningOf(entries: readonly StackEntry[]): Running {
  return { pid: entries[0]!.pid, ports: entries.map(({ port }) => port) };
}

/** One `stack up`, under the lock. */
class StackStart {
  private readonly state: StateFile;
  private readonly environment: NodeJS.ProcessEnv;
  private readonly startedNow: Service[] = [];

  constructor(private readonly options: StackOptions) {
    this.state = new StateFile(options.config.stateDir);
    this.environment = options.environment ?? process.env;
  }

  async run(): Promise<void> {
    const services = this.servicesToRun();
    // Something that is not installed is found before anything is started.
    for (const service of services) service.launch(this.surroundings(), []);
    // get-port never gives a port twice in half a minute, which is just what a restart asks for.
    clearLockedPorts();
    const up = new Map<ServiceName, Promise<void>>();
    for (const service of services) {
      const before = Promise.all(service.after.map((name) => up.get(name)));
      up.set(
        service.name,
        before.then(() => this.bringUp(service)),
      );
    }
    const failed = (await Promise.allSettled(up.values())).find((outcome) => outcome.status === 'rejected');
    if (this.options.signal?.aborted) {
      await Promise.all(this.startedNow.map((service) => this.stop(service)));
      this.options.signal.throwIfAborted();
    }
    if (failed !== undefined) throw failed.reason;
  }

  private servicesToRun(): Service[] {
    const { services = SERVICE_NAMES, log } = this.options;
    return SERVICES.filter((service) => {
      if (!services.includes(service.name)) return false;
      const provided = service.providedAt(this.environment);
      if (provided !== null) log(`${service.name}: not started, the environment says it is at ${provided}`);
      return provided === null;
    });
  }

  private async bringUp(service: Service): Promise<void> {
    this.options.signal?.throwIfAborted();
    const before = this.state.of(service);
    if (before !== null) {
      const reason = await this.reasonToRestart(service, before);
      if (reason === null) {
        this.options.log(`${service.name}: up${at(before)}`);
        return;
      }
      this.options.log(`${service.name}: ${reason}, starting it again`);
      await stopService(service, before[0]!);
    }
    await this.start(service, before);
  }

  private async reasonToRestart(service: Service, entries: readonly StackEntry[]): Promise<string | null> {
    const entry = entries[0]!;
    if (!isRunning(entry)) return 'has died';
    if (entry.version === null) return 'was not started to its end';
    if (entry.version !== this.versionOf(service)) return 'runs an older build or other settings';
    const deadline = Date.now() + HUNG_AFTER_MS;
    while (!(await service.isHealthy(this.surroundings(), runningOf(entries)))) {
      if (!isRunning(entry)) return 'has died';
      if (Date.now() > deadline) return 'does not answer';
      await setTimeout(POLL_MS, undefined, { signal: this.options.signal });
    }
    return null;
  }

  private async start(service: Service, before: readonly StackEntry[] | null): Promise<void> {
    for (let attempt = 1, known = before; ; attempt++, known = null) {
      const ports = await choosePorts(service, known, this.options.usualPorts ?? {}, this.options.log);
      try {
        await this.startOn(service, ports);
        return;
      } catch (error) {
        if (!(error instanceof DiedAtStart && attempt < ATTEMPTS && (await isAnyTaken(ports)))) throw error;
      }
    }
  }

  /** Recorded before it works, so that nothing is left behind however this ends. */
  private async startOn(service: Service, ports: (number | null)[]): Promise<void> {
    const { log, signal } = this.options;
    const begun = Date.now();
    const surroundings = this.surroundings();
    const version = this.versionOf(service);
    const process = spawnService(service, service.launch(surroundings, ports), surroundings);
    const { pid, startTime } = process;
    const entries = service.endpoints.map(({ name, address }, index): StackEntry => {
      const port = ports[index] ?? null;
      return { name, pid, startTime, address: address(port), port, version: null };
    });
    this.state.put(entries);
    try {
      await waitUntilHealthy(service, surroundings, process, { pid, ports }, signal);
      await service.prepare?.(surroundings, { pid, ports });
    } catch (error) {
      await this.stop(service);
      throw error;
    }
    this.state.put(entries.map((entry) => ({ ...entry, version })));
    this.startedNow.push(service);
    log(`${service.name}: started${at(entries)} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  }

  private async stop(service: Service): Promise<void> {
    const entries = this.state.of(service);
    if (entries === null) return;
    await stopService(service, entries[0]!);
    this.state.remove(service);
  }

  private versionOf(service: Service): string {
    return service.version?.(this.surroundings()) ?? '';
  }

  private surroundings(): Surroundings {
    return { config: this.options.config, environment: this.environment, addresses: this.state.addresses() };
  }
}

function at(entries: readonly StackEntry[]): string {
  const addresses = entries.map(({ address }) => address).filter((address) => address !== '');
  return addresses.length === 0 ? '' : ` at ${addresses.join(', ')}`;
}
