import { once } from 'node:events';
import { connect } from 'node:net';

const PATIENCE_MS = 3000;

/** True when a GET of the URL answers with a 2xx status. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** True when something accepts connections at an address: a URL, or `host:port`. */
export async function accepts(address: string): Promise<boolean> {
  const { protocol, hostname, port } = new URL(address.includes('://') ? address : `tcp://${address}`);
  const socket = connect(Number(port) || (protocol === 'https:' ? 443 : 80), hostname.replace(/^\[|\]$/g, ''));
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE_MS) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
