import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { RunFiles, type RunRecord } from '../../../src/runners/run-file.js';

let stateDir: string;
let files: RunFiles;
const record = (key: string): RunRecord => ({
  key,
  pid: 12,
  startTime: '345',
  host: 'here',
  boot: 'b',
  program: 'true',
  workerPid: 1,
  workerStartTime: '2',
});

beforeEach(() => {
  stateDir = mkdtempSync(path.join(tmpdir(), 'dayfill-run-files-'));
  files = new RunFiles(stateDir);
});
afterEach(() => rmSync(stateDir, { recursive: true }));

test('a note is read back, replaced and removed', () => {
  files.write({ ...record('talbots/2025-07-16/crm'), pid: null, startTime: null });
  files.write(record('talbots/2025-07-16/crm'));
  expect(files.read('talbots/2025-07-16/crm')).toEqual(record('talbots/2025-07-16/crm'));
  files.remove('talbots/2025-07-16/crm');
  expect(files.read('talbots/2025-07-16/crm')).toBeNull();
  expect(readdirSync(path.join(stateDir, 'runs'))).toEqual([]);
});

test('keys that look alike as file names have a note each, inside the folder', () => {
  const keys = ['a/b', 'a_b', 'a b', '../../a', 'x'.repeat(300), `${'x'.repeat(300)}y`];
  for (const key of keys) files.write(record(key));
  expect(keys.map((key) => files.read(key)?.key)).toEqual(keys);
  expect(
    files
      .all()
      .map(({ key }) => key)
      .sort(),
  ).toEqual([...keys].sort());
  expect(readdirSync(path.join(stateDir, 'runs'))).toHaveLength(keys.length);
});

test('what a crash left half written is no note', () => {
  writeFileSync(path.join(stateDir, 'runs', 'a-12345678.json.99'), '{"key":');
  writeFileSync(path.join(stateDir, 'runs', 'b-12345678.json'), '');
  expect(files.all()).toEqual([]);
});
