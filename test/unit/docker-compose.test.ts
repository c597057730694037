import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { DEFAULT_PORTS, ENVIRONMENT_VARIABLES } from '../../src/config.js';
import { SEARCH_ATTRIBUTE_NAMES } from '../../src/contracts/search-attributes.js';

interface Service {
  image: string;
  build?: { context: string; dockerfile: string };
  command?: string[];
  ports?: string[];
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
  volumes?: string[];
  restart?: string;
}

const compose: { services: Record<string, Service>; volumes: Record<string, null> } = parse(
  readFileSync('docker-compose.yml', 'utf8'),
  { merge: true },
);
const services = Object.entries(compose.services);
const service = (name: string) => compose.services[name]!;
const EXACT_TAG = /^[a-z0-9./-]+:\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?$/;

describe('docker-compose.yml', () => {
  test('it has the parts of the embedded stack, with Postgres under Temporal', () => {
    expect(Object.keys(compose.services).sort()).toEqual(
      [
        'bigquery',
        'postgres',
        'storage',
        'temporal',
        'temporal-namespace',
        'temporal-schema',
        'temporal-ui',
        'worker',
      ].sort(),
    );
  });

  test.each(services)('%s has an image of one exact version', (_, { image, build }) => {
    expect(image).toMatch(EXACT_TAG);
    if (build === undefined) return;
    const bases = readFileSync(build.dockerfile, 'utf8').matchAll(/^FROM (\S+)/gm);
    for (const [, base] of bases) expect(base).toMatch(EXACT_TAG);
  });

  test('server and tools of Temporal are of one version', () => {
    const version = service('temporal').image.split(':')[1];
    for (const name of ['temporal-schema', 'temporal-namespace']) {
      expect(service(name).image).toContain(`temporalio/admin-tools:${version}-`);
    }
  });

  test('default ports, on the loopback only, and no others', () => {
    const published = Object.fromEntries(services.map(([name, { ports }]) => [name, ports ?? []]));
    expect(published).toEqual({
      postgres: [],
      'temporal-schema': [],
      temporal: [`127.0.0.1:${DEFAULT_PORTS.temporal}:7233`],
      'temporal-namespace': [],
      'temporal-ui': [`127.0.0.1:${DEFAULT_PORTS.temporalUi}:8080`],
      storage: [`127.0.0.1:${DEFAULT_PORTS.storage}:${DEFAULT_PORTS.storage}`],
      bigquery: [`127.0.0.1:${DEFAULT_PORTS.bigquery}:${DEFAULT_PORTS.bigquery}`],
      worker: [],
    });
  });

  test.each(['bigquery', 'storage'] as const)(
    'the %s emulator runs our launcher on the port that is published',
    (name) => {
      const { command = [], healthcheck } = service(name);
      expect(command[1]).toBe(`warehouse/emulators/${name}.py`);
      expect(existsSync(command[1]!)).toBe(true);
      expect(command[command.indexOf('--port') + 1]).toBe(`${DEFAULT_PORTS[name]}`);
      expect(healthcheck?.test.join(' ')).toContain(`:${DEFAULT_PORTS[name]}/`);
    },
  );

  test('BigQuery reads gs:// from the storage emulator’s objects', () => {
    const command = service('bigquery').command!;
    const storage = service('storage').command!;
    const root = storage[storage.indexOf('--data-dir') + 1];
    expect(command[command.indexOf('--storage-root') + 1]).toBe(root);
    expect(service('storage').volumes).toContain(`storage:${root}`);
    expect(service('bigquery').volumes).toContain(`storage:${root}:ro`);
  });

  test('the worker knows where everything is, by variables that config.ts reads', () => {
    const { environment = {}, command } = service('worker');
    expect(environment).toMatchObject({
      TEMPORAL_ADDRESS: 'temporal:7233',
      TEMPORAL_NAMESPACE: 'default',
      DAYFILL_BIGQUERY_ENDPOINT: `http://bigquery:${DEFAULT_PORTS.bigquery}`,
      DAYFILL_STORAGE_ENDPOINT: `http://storage:${DEFAULT_PORTS.storage}`,
    });
    expect(environment).toHaveProperty('DAYFILL_PIPELINES');
    expect(environment).toHaveProperty('DAYFILL_STATE_DIR');
    expect(environment).toHaveProperty('DAYFILL_VENV');
    for (const name of Object.keys(environment)) expect(ENVIRONMENT_VARIABLES).toHaveProperty(name);
    expect(command).toEqual(['node', 'dist/worker.js']);
    expect(existsSync('src/worker.ts')).toBe(true);
  });

  test('everything waits for what it needs, and what is waited for can be told to be ready', () => {
    expect(Object.fromEntries(services.map(([name, { depends_on = {} }]) => [name, Object.keys(depends_on)]))).toEqual({
      postgres: [],
      'temporal-schema': ['postgres'],
      temporal: ['temporal-schema'],
      'temporal-namespace': ['temporal'],
      'temporal-ui': ['temporal'],
      storage: [],
      bigquery: [],
      worker: ['temporal-namespace', 'bigquery', 'storage'],
    });
    for (const [, { depends_on = {} }] of services) {
      for (const [needed, { condition }] of Object.entries(depends_on)) {
        if (condition === 'service_healthy') expect(service(needed).healthcheck?.test[0]).toBe('CMD');
        else expect([condition, service(needed).restart]).toEqual(['service_completed_successfully', 'on-failure:5']);
      }
    }
  });

  test('every volume that is used is declared, and the other way round', () => {
    const used = services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0]!));
    expect([...new Set(used.filter((name) => !name.startsWith('./')))].sort()).toEqual(
      Object.keys(compose.volumes).sort(),
    );
    for (const source of used.filter((name) => name.startsWith('./'))) expect(existsSync(source)).toBe(true);
  });

  test('the search attributes that a worker insists on are made', () => {
    const script = readFileSync('docker/temporal/namespace.sh', 'utf8');
    const names = /^for name in (.+); do$/m.exec(script)?.[1]?.split(' ');
    expect(names?.sort()).toEqual([...SEARCH_ATTRIBUTE_NAMES].sort());
    expect(script).toContain('--type Keyword');
  });
});
