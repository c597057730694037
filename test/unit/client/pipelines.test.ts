import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { UsageError } from '../../../src/client/errors.js';
import { checkKnown, openPipelines, partitionBounds, plainName } from '../../../src/client/pipelines.js';
import { checkBackfill } from '../../../src/client/start.js';
import { loadConfig } from '../../../src/config.js';
import { PartitionError, PipelineError } from '../../../src/pipeline/errors.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'dayfill-client-'));
  const steps = 'steps: [{ id: one, uses: command, with: { run: ["true"] } }]';
  write('good', `pipeline: good\npartition: { every: 1d, start: 2025-07-01 }\n${steps}`);
  write('broken', 'pipeline: [');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): void {
  mkdirSync(path.join(folder, name));
  writeFileSync(path.join(folder, name, 'pipeline.yaml'), text);
}
const files = () => openPipelines(loadConfig({ DAYFILL_PIPELINES: folder }));

describe('plainName', () => {
  test('takes a pipeline and a variant of it', () => {
    expect([plainName('good'), plainName('good~1a2b3c4d')]).toEqual(['good', 'good']);
  });

  test.each(['', '../good', 'Good', 'good~', 'good~x', 'good~1a2b3c4d~1a2b3c4d', 'good" OR "1"="1', '$(good)'])(
    'refuses %s',
    (name) => expect(() => plainName(name)).toThrow(UsageError),
  );
});

test('a broken file is known, and its partitions can be looked at without a calendar', () => {
  expect(() => checkKnown(files(), 'broken')).not.toThrow();
  expect(partitionBounds(files(), 'broken', 'anything')).toBeNull();
  expect(() => checkKnown(files(), 'nowhere')).toThrow(PipelineError);
  expect(() => partitionBounds(files(), 'good', '2025-02-30')).toThrow(PartitionError);
});

test('checkBackfill refuses what no ledger could make right, and nothing else', () => {
  const day = { pipeline: 'good', partitions: ['2025-07-01'] };
  expect(() => checkBackfill(files(), { ...day, fromStep: 'one' })).not.toThrow();
  expect(() => checkBackfill(files(), { ...day, fromStep: 'two' })).toThrow(/no step "two"/);
  expect(() => checkBackfill(files(), { ...day, concurrency: 2 })).toThrow(/parallel_safe/);
  expect(() => checkBackfill(files(), { ...day, vars: { x: 'y' } })).toThrow(/no var x/);
});
