import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, test } from '@jest/globals';
import { choosePorts } from '../../../src/stack/ports.js';
import { storage } from '../../../src/stack/services/storage.js';

async function taken() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, port: (server.address() as { port: number }).port };
}

const choose = async (port: number) => {
  const lines: string[] = [];
  const entry = { name: 'storage', pid: 1, startTime: '', address: '', port, version: null };
  const ports = await choosePorts(storage, [entry], {}, (line) => lines.push(line));
  return { ports, lines };
};

test('a port that a killed process gives back a moment later is kept', async () => {
  const { server, port } = await taken();
  const chosen = choose(port);
  setTimeout(() => server.close(), 200);
  expect(await chosen).toEqual({ ports: [port], lines: [] });
});

test('a port that somebody else keeps is given up, and said', async () => {
  const { server, port } = await taken();
  try {
    const { ports, lines } = await choose(port);
    expect(ports).not.toEqual([port]);
    expect(lines).toEqual([`storage: port ${port} is taken, using ${ports[0]}`]);
  } finally {
    server.close();
  }
});
