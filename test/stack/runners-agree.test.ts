import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { startTestStack, type TestStack } from '../support/stack.js';
import {
  dayfill,
  dayfillJson,
  dropTalbotsTables,
  sampleFiles,
  type TableContents,
  talbotsTables,
} from '../support/talbots.js';
import { until } from './fixtures/processes.js';

const SHIPPED = path.resolve('pipelines/talbots');
const RUNNERS = ['cli', 'warm'];
/** The first is fixed by what the pipeline knows; the second breaks on what nobody knows, and waits. */
const DAYS = ['2025-07-17', '2025-07-18'];

let stack: TestStack;
let pipelines: string;

beforeAll(async () => {
  pipelines = mkdtempSync(path.join(tmpdir(), 'dayfill-runners-'));
  for (const runner of RUNNERS) talbotsBy(runner);
  stack = await startTestStack({ env: { DAYFILL_PIPELINES: pipelines } });
  await sampleFiles(stack, '--from', DAYS[0]!, '--to', DAYS[1]!, '--unknown-defect', DAYS[1]!);
});
afterAll(async () => {
  await stack?.stop();
  rmSync(pipelines, { recursive: true, force: true });
});

/** The shipped pipeline under a name of its own, with the runner in every step that has one. */
function talbotsBy(runner: string): void {
  const folder = path.join(pipelines, `talbots-${runner}`);
  cpSync(SHIPPED, folder, { recursive: true });
  const file = path.join(folder, 'pipeline.yaml');
  const ofStep = (key: string, value: unknown) =>
    key === 'with' && (value as { project?: string }).project !== undefined
      ? { ...(value as object), project: path.resolve(SHIPPED, (value as { project: string }).project), runner }
      : value;
  const pipeline = JSON.parse(JSON.stringify(parse(readFileSync(file, 'utf8')), ofStep));
  writeFileSync(file, stringify({ ...pipeline, pipeline: `talbots-${runner}` }));
}

/** What is left of the days: the tables, the ledger's rows and their failures, without times, ids and what names the pipeline. */
async function ranBy(runner: string): Promise<{ tables: Record<string, TableContents>; rows: unknown[] }> {
  const pipeline = `talbots-${runner}`;
  const { exitCode } = await dayfill(stack, 'run', pipeline, '--partitions', DAYS.join(','), '--json');
  expect(exitCode).toBe(3);
  // A day that waits is told before its row is written.
  const { rows } = await until('both days are in the ledger', async () => {
    const ledger = await dayfillJson(stack, 'ledger', pipeline);
    return ledger.rows.length === DAYS.length ? ledger : null;
  });
  const tables = await talbotsTables(stack);
  await dayfill(stack, 'cancel', pipeline, '--now');
  await dropTalbotsTables(stack);
  return { tables, rows: rows.map(comparable) };
}

// biome-ignore lint/suspicious/noExplicitAny: the document of a command
const comparable = ({ partition, status, sequence, decisions, steps }: any) => ({
  ...{ partition, status, sequence, decisions },
  // biome-ignore lint/suspicious/noExplicitAny: the document of a command
  steps: steps.map(({ id, status, attempts, remedies, counts, jobIds, bytesBilled, warnings, failure }: any) => ({
    ...{ id, status, attempts, remedies, counts, jobs: jobIds.length, bytesBilled, warnings },
    failure: failure && {
      ...{ kind: failure.kind, tests: failure.tests, message: failure.message, exitCode: failure.exitCode },
      hasEvidence: failure.evidence !== null,
    },
  })),
});

test('the same days give the same tables, ledger rows and failures by the command line and by processes that stay', async () => {
  const cli = await ranBy('cli');
  const warm = await ranBy('warm');
  expect(warm).toEqual(cli);
  expect(cli.rows).toEqual([
    expect.objectContaining({ partition: DAYS[0], status: 'fixed' }),
    expect.objectContaining({
      partition: DAYS[1],
      status: 'waiting',
      steps: expect.arrayContaining([
        expect.objectContaining({ id: 'crm', failure: expect.objectContaining({ kind: 'test_failure' }) }),
      ]),
    }),
  ]);
  expect(Object.values(cli.tables).filter(({ rows }) => rows > 0).length).toBeGreaterThan(10);
}, 600_000);
