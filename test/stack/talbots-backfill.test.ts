import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { startTestStack, type TestStack } from '../support/stack.js';
import {
  dayfill,
  dayfillJson,
  query,
  sampleFiles,
  type TableContents,
  talbotsBigQuery,
  talbotsTables,
} from '../support/talbots.js';

const FIVE_DAYS = ['--from', '2025-07-16', '--to', '2025-07-20'];
const STATUSES = {
  '2025-07-16': 'succeeded',
  '2025-07-17': 'fixed',
  '2025-07-18': 'succeeded',
  '2025-07-19': 'fixed',
  '2025-07-20': 'succeeded',
};
/** What identity resolution once put back stays, so that the fourth day needs no fix when it runs again. */
const STATUSES_AGAIN = { ...STATUSES, '2025-07-19': 'succeeded' };
const DEFECT = '2025-07-21';
const AFTER_DEFECT = '2025-07-22';

let stack: TestStack;
let tables: Record<string, TableContents>;

beforeAll(async () => {
  stack = await startTestStack();
  await sampleFiles(stack, '--from', '2025-07-16', '--to', AFTER_DEFECT, '--unknown-defect', DEFECT);
});
afterAll(() => stack?.stop());

const statusesIn = (report: { partitions: { partition: string; status: string }[] }) =>
  Object.fromEntries(report.partitions.map(({ partition, status }) => [partition, status]));

test('five days: three succeed, two are fixed', async () => {
  const { exitCode, stdout, stderr } = await dayfill(stack, 'run', 'talbots', ...FIVE_DAYS, '--json');
  expect(stderr.split('\n').filter((line) => line.includes('all done'))).toEqual(
    Object.entries(STATUSES).map(([day, status]) => `date ${day} ingestion all done (${status})`),
  );
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({ pipeline: 'talbots', state: 'idle', total: 5, counts: { succeeded: 3, fixed: 2 } });
  expect(statusesIn(report)).toEqual(STATUSES);
  expect(exitCode).toBe(0);
}, 600_000);

test('a day asks the warehouse no more than it must, and two processes do all days', async () => {
  const [jobs] = await talbotsBigQuery(stack).getJobs({ projection: 'full', maxResults: 10_000 });
  const ofStep = (step: string) =>
    jobs.filter(({ metadata: { configuration } }) => {
      const { dayfill_partition: day, dayfill_step: label } = configuration.labels ?? {};
      return day === '2025-07-18' && label === step;
    });
  expect(ofStep('crm').length).toBeLessThanOrEqual(11);
  expect(ofStep('identity').length).toBeLessThanOrEqual(68);

  const { rows } = await dayfillJson(stack, 'ledger', 'talbots');
  const logs: string[] = rows.flatMap(({ steps }: { steps: { log: string }[] }) => steps.map(({ log }) => log));
  const pids = logs.map(
    (log) => /# done by process (\d+)/.exec(readFileSync(path.join(stack.stateDir, log), 'utf8'))?.[1],
  );
  expect(pids).not.toContain(undefined);
  expect(new Set(pids).size).toBe(2);
});

test('the second step finds its process there, with the project parsed, while the first one ran', async () => {
  const { rows } = await dayfillJson(stack, 'ledger', 'talbots');
  const log = readFileSync(path.join(stack.stateDir, rows[0].steps[1].log), 'utf8');
  expect(log.match(/Running with dbt/g)).toHaveLength(1);
});

test('each fixed day names its remedy and the failure that it healed', async () => {
  const step = (id: string, status: string, remedies: string[], tests: string[]) =>
    expect.objectContaining({
      id,
      status,
      remedies,
      failure: tests.length === 0 ? null : expect.objectContaining({ kind: 'test_failure', tests }),
    });
  expect((await dayfillJson(stack, 'show', 'talbots', '2025-07-17')).steps).toEqual([
    step('crm', 'fixed', ['dedupe-conversion-key'], ['unique_talbots_raw_extraction_conversion_unique_key']),
    step('identity', 'succeeded', [], []),
  ]);
  expect((await dayfillJson(stack, 'show', 'talbots', '2025-07-19')).steps).toEqual([
    step('crm', 'succeeded', [], []),
    step('identity', 'fixed', ['restore-conversion-ids'], ['conversion_id_not_present']),
  ]);
});

test('the warehouse holds each conversion once, and identity resolution holds every conversion', async () => {
  const days = await query(
    stack,
    `select string(conversion_date) as day, count(*) as n, count(distinct conversion_id) as ids,
       count(distinct unique_key) as unique_keys
     from talbots_crm.conversions group by conversion_date order by conversion_date`,
  );
  // Whatever a fix put aside, its key is still there; so no key of the files is lost.
  const landed = await query(
    stack,
    `select string(conversion_date) as day, count(distinct unique_key) as n
     from (
       select conversion_date, unique_key from talbots_landing.conversion
       union all select conversion_date, unique_key from talbots_landing.conversion_duplicate
     ) group by conversion_date order by conversion_date`,
  );
  expect(landed.map(({ day }) => day)).toEqual(Object.keys(STATUSES));
  expect(days).toEqual(landed.map(({ day, n }) => ({ day, n, ids: n, unique_keys: n })));
  expect(landed.every(({ n }) => n > 1500)).toBe(true);

  const total = days.reduce((sum, { n }) => sum + n, 0);
  const [identity] = await query(
    stack,
    `select count(*) as n, count(distinct p.conversion_id) as ids, count(person_id) as with_person,
       (select sum(events) from talbots_identity.persons) as of_persons
     from talbots_crm.conversions as c left join talbots_identity.conversion_persons as p using (conversion_id)`,
  );
  expect(identity).toEqual({ n: total, ids: total, with_person: total, of_persons: total });
});

test('the ledger has one complete row for each day', async () => {
  const { rows } = await dayfillJson(stack, 'ledger', 'talbots');
  expect(rows).toHaveLength(5);
  for (const [index, [day, status]] of Object.entries(STATUSES).entries()) {
    expect(rows[index]).toMatchObject({
      pipeline: 'talbots',
      partition: day,
      partitionStart: day,
      partitionEnd: day,
      status,
      workflowId: `talbots/${day}`,
      sequence: 1,
      decisions: [],
      steps: [{ id: 'crm' }, { id: 'identity' }],
    });
    const { startedAt, recordedAt, sourceAsOf, steps } = rows[index];
    const times = [startedAt, sourceAsOf, recordedAt].map(Date.parse);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    for (const { jobIds, durationMs, log, counts } of steps) {
      expect(jobIds.length).toBeGreaterThan(0);
      expect(durationMs).toBeGreaterThan(0);
      expect(Object.keys(counts)).not.toEqual([]);
      expect(existsSync(path.join(stack.stateDir, log))).toBe(true);
    }
  }
  const [, , , fixed] = rows;
  const fixes = fixed.steps[1].jobIds.filter((id: string) => id.startsWith('dayfill-'));
  expect(fixes.map((id: string) => id.split('-').at(-2))).toEqual(['setup', 'backup', 'change']);
  expect(fixes[0]).toContain('restore-conversion-ids');
});

test('the log of a fix keeps the SQL as it ran', () => {
  const folder = path.join(stack.stateDir, 'logs/talbots/2025-07-17');
  const logs = readdirSync(folder).filter((name) => name.includes('dedupe-conversion-key.1'));
  expect(logs).toHaveLength(1);
  expect(readFileSync(path.join(folder, logs[0]!), 'utf8')).toMatch(
    /delete from `[a-z-]+\.talbots_landing\.conversion`/,
  );
});

test('the same again runs nothing and says why', async () => {
  tables = await talbotsTables(stack);
  const { exitCode, stdout, stderr } = await dayfill(stack, 'run', 'talbots', ...FIVE_DAYS, '--json');
  expect(stderr.split('\n')).toEqual([
    ...Object.entries(STATUSES).map(([day, status]) => `${day} does not run: already ${status}`),
    'Nothing to run: every partition asked for is done; --force runs them again.',
  ]);
  expect(statusesIn(JSON.parse(stdout))).toEqual(STATUSES);
  expect(exitCode).toBe(0);
  expect(await talbotsTables(stack)).toEqual(tables);
  expect((await dayfillJson(stack, 'ledger', 'talbots')).rows).toHaveLength(5);
});

test('run again by force, the five days end as they were and change no row', async () => {
  const { exitCode, stdout } = await dayfill(stack, 'run', 'talbots', ...FIVE_DAYS, '--force', '--json');
  expect(statusesIn(JSON.parse(stdout))).toEqual(STATUSES_AGAIN);
  expect(exitCode).toBe(0);
  expect(await talbotsTables(stack)).toEqual(tables);
}, 600_000);

test('a failure that no remedy knows holds the line until it is answered', async () => {
  const run = await dayfill(stack, 'run', 'talbots', '--from', '2025-07-20', '--to', AFTER_DEFECT, '--json');
  expect(run.exitCode).toBe(3);
  const waiting = JSON.parse(run.stdout);
  expect(waiting.state).toBe('waiting');
  expect(statusesIn(waiting)).toEqual({ '2025-07-20': 'succeeded', [DEFECT]: 'waiting', [AFTER_DEFECT]: 'pending' });
  const [, { failure, step }] = waiting.partitions;
  expect(step).toBe('crm');
  expect(failure).toMatchObject({ kind: 'test_failure', tests: [expect.stringMatching(/^accepted_values_/)] });

  const connection = await Connection.connect({ address: stack.config().stackTemporal! });
  try {
    const { workflow } = new Client({ connection });
    await expect(workflow.getHandle(`talbots/${AFTER_DEFECT}`).describe()).rejects.toThrow(WorkflowNotFoundError);

    await sampleFiles(stack, '--from', DEFECT, '--to', DEFECT);
    const args = ['retry', '--failure', failure.id, '--note', 'the file was sent again', '--by', 'ann'];
    const receipt = await dayfillJson(stack, 'resolve', 'talbots', DEFECT, ...args);
    expect(receipt).toEqual({ accepted: true, failure: failure.id, action: 'retry' });
    await workflow.getHandle('backfill/talbots').result();
  } finally {
    await connection.close();
  }
  expect(statusesIn(await dayfillJson(stack, 'status', 'talbots'))).toEqual({
    ...STATUSES_AGAIN,
    [DEFECT]: 'fixed',
    [AFTER_DEFECT]: 'succeeded',
  });
  const { rows } = await dayfillJson(stack, 'ledger', 'talbots', '--from', DEFECT, '--to', DEFECT);
  expect(rows.map(({ status }: { status: string }) => status)).toEqual(['waiting', 'fixed']);
  expect(rows[1].decisions).toEqual([
    expect.objectContaining({
      action: 'retry',
      note: 'the file was sent again',
      decidedBy: 'ann',
      failure: failure.id,
    }),
  ]);
}, 600_000);
