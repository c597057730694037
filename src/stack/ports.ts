import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import getPort from 'get-port';
import type { Service } from './service.js';
import type { StackEntry } from './state-file.js';

const HOST = '127.0.0.1';
/** A process that was killed holds its ports for a moment longer than it can be seen to run. */
const GIVEN_BACK_WITHIN_MS = 2000;
const POLL_MS = 20;

/**
 * A port for each endpoint of a service: the one it had before its crash, so that a living worker finds it again, else
 * its usual one, else, which is said, any that is free.
 */
export async function choosePorts(
  service: Service,
  before: readonly StackEntry[] | null,
  usualPorts: Readonly<Record<string, number>>,
  log: (line: string) => void,
): Promise<(number | null)[]> {
  const ports: (number | null)[] = [];
  for (const [index, { name, usualPort }] of service.endpoints.entries()) {
    const own = before?.[index]?.port ?? null;
    if (own !== null) await givenBack(own);
    const wanted = own ?? usualPorts[name] ?? usualPort;
    const port = wanted === null ? null : await getPort({ port: wanted, host: HOST });
    if (wanted !== 0 && port !== wanted) log(`${name}: port ${wanted} is taken, using ${port}`);
    ports.push(port);
  }
  return ports;
}

async function givenBack(port: number): Promise<void> {
  const deadline = Date.now() + GIVEN_BACK_WITHIN_MS;
  while ((await isTaken(port)) && Date.now() < deadline) await setTimeout(POLL_MS);
}

/** True when something holds one of the ports. */
export async function isAnyTaken(ports: readonly (number | null)[]): Promise<boolean> {
  const taken = await Promise.all(ports.map((port) => port !== null && isTaken(port)));
  return taken.includes(true);
}

async function isTaken(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, HOST), 'listening');
    return false;
  } catch {
    return true;
  } finally {
    server.close();
  }
}
