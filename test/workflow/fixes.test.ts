import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import type { Proposal, ProposalInput } from '../../src/contracts/fix.js';
import { sha256Hex } from '../../src/contracts/ids.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { isRunning, until } from '../stack/fixtures/processes.js';
import {
  type CommandPipeline,
  type CommandStack,
  currentDetails,
  startCommandStack,
} from '../support/command-pipelines.js';

const PROJECT = 'dayfill-local';
const SERVICES = ['temporal', 'bigquery', 'worker'] as const;
const [D16, D17] = ['2025-07-16', '2025-07-17'] as const;
/** Leaves a trace each time that it runs. */
const TRACE = 'insert into shop.orders (day, id, note) select @partition, 100, "put right";';

let commands: CommandStack;
beforeAll(async () => {
  // One place for steps: whatever waited in it would stop all else.
  commands = await startCommandStack({ env: { DAYFILL_MAX_STEPS: '1' } });
  const bigquery = bigQueryClients(commands.stack.config())(PROJECT);
  await bigquery.createDataset('shop', { location: 'US' });
  await bigquery.query('create table shop.orders (day date, id int64, note string) partition by day');
});
afterAll(() => commands?.stop());

/** A pipeline whose first step fails on the first day, and that allows fixes in the dataset `shop`. */
function broken(name: string, more: Record<string, unknown> = {}): CommandPipeline {
  const vars = { project_id: PROJECT, location: 'US' };
  const pipeline = commands.pipeline(name, { vars, fixes: { datasets: ['shop'] }, ...more });
  pipeline.break(`${D16}.crm`);
  return pipeline;
}

function fixFile(pipeline: CommandPipeline, name: string, sql: string): string {
  mkdirSync(path.join(pipeline.dir, 'fixes'), { recursive: true });
  writeFileSync(path.join(pipeline.dir, 'fixes', name), sql);
  return `fixes/${name}`;
}

/** A fix that marks its pipeline, so that it can be counted how often it ran. */
const trace = (pipeline: CommandPipeline) => TRACE.replace('put right', pipeline.name);

async function traces(pipeline: CommandPipeline): Promise<number> {
  const query = `select count(*) as n from shop.orders where note = '${pipeline.name}'`;
  const [[row]] = await bigQueryClients(commands.stack.config())(PROJECT).query({ query, location: 'US' });
  return row.n;
}

function propose(pipeline: CommandPipeline, proposal: ProposalInput): Promise<Proposal> {
  return pipeline.day(D16).executeUpdate('propose', { args: [proposal] });
}

async function refusal(answer: Promise<unknown>): Promise<string> {
  try {
    await answer;
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) return error.cause!.message;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('fix', () => {
  test('runs a file of the pipeline once, then the step again; who, what and why are on record', async () => {
    const pipeline = broken('file');
    const file = fixFile(pipeline, 'x.sql', trace(pipeline));
    const handle = await pipeline.start({ from: D16, to: D17 });
    const before = await pipeline.waiting(D16);
    const decision = { action: 'fix', file, failure: before.id, note: 'the till was down', by: 'ann' } as const;
    expect(await pipeline.resolve(D16, decision)).toEqual({ accepted: true, failure: before.id, action: 'fix' });
    const again = await pipeline.waiting(D16, before);
    expect(again.fingerprint).toBe(before.fingerprint);
    expect(await traces(pipeline)).toBe(1);
    expect(await refusal(pipeline.resolve(D16, decision))).toBe(
      `The decision answers failure "${before.id}", but "${again.id}" is waiting.`,
    );
    expect(await currentDetails(pipeline.day(D16))).toContain('- fix of **crm** by ann: the till was down');

    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    expect(await handle.result()).toMatchObject({ counts: { fixed: 1, succeeded: 1 } });
    const row = (await pipeline.rows()).find(({ status }) => status === 'fixed')!;
    const sql = trace(pipeline);
    expect(row.decisions).toMatchObject([
      { action: 'fix', file, sql, sha256: sha256Hex(sql), note: 'the till was down', decidedBy: 'ann', way: 'person' },
      { action: 'retry', sql: null },
    ]);
    expect(await traces(pipeline)).toBe(1);
  });

  test('is refused with the reason before anything runs', async () => {
    const pipeline = broken('refused');
    const hostile = fixFile(pipeline, 'hostile.sql', 'drop table shop.orders;');
    const everyDay = fixFile(pipeline, 'every-day.sql', 'delete from shop.orders where true;');
    writeFileSync(path.join(pipeline.dir, 'outside.sql'), trace(pipeline));
    await pipeline.start({ partitions: [D16] });
    const { id: failure } = await pipeline.waiting(D16);
    const refused = (decision: object) => refusal(pipeline.resolve(D16, { action: 'fix', failure, ...decision }));
    expect(await refused({ file: hostile })).toMatch(/DROP/i);
    expect(await refused({ file: everyDay })).toMatch(/partition/);
    expect(await refused({ file: 'fixes/none.sql' })).toMatch(/^There is no file fixes\/none\.sql/);
    expect(await refused({ file: 'outside.sql' })).toMatch(/is not in the folder fixes\//);
    expect(await refused({ file: '../refused/fixes/../../file/fixes/x.sql' })).toMatch(
      /is not in the folder fixes\/|no file/,
    );
    expect(await refused({ sql: trace(pipeline) })).toMatch(/takes no SQL that is in no file/);
    expect(await refused({})).toMatch(/either a file or its sql/);
    expect(await refused({ file: hostile, failure: undefined })).toMatch(/names the failure that it answers/);
    expect(await pipeline.state(D16)).toMatchObject({ status: 'waiting', failure: { id: failure }, decisions: [] });
    await pipeline.resolve(D16, { action: 'skip' });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { skipped: 1 } });
  });

  test('takes SQL that is in no file where the pipeline says so, and can stand in for the step', async () => {
    const pipeline = broken('ad-hoc', { allow_ad_hoc_sql: true });
    const handle = await pipeline.start({ partitions: [D16] });
    const { id: failure } = await pipeline.waiting(D16);
    await pipeline.resolve(D16, { action: 'fix', sql: trace(pipeline), failure, then: 'continue' });
    expect(await handle.result()).toMatchObject({ counts: { fixed: 1 } });
    expect(pipeline.began()).toEqual([`${D16}.crm`, `${D16}.identity`]);
    expect(await traces(pipeline)).toBe(1);
  });

  test('is followed by what the pipeline says; killed between the two, it is neither lost nor repeated', async () => {
    const pipeline = broken('after');
    const steps = [{ ...pipeline.step('crm'), after_fix: [pipeline.work('rebuild')] }, pipeline.step('identity')];
    pipeline.write(pipeline.text({ steps }));
    pipeline.hold(`${D16}.rebuild`);
    const file = fixFile(pipeline, 'x.sql', trace(pipeline));
    const handle = await pipeline.start({ partitions: [D16] });
    const { id: failure } = await pipeline.waiting(D16);
    await pipeline.resolve(D16, { action: 'fix', file, failure });
    await pipeline.hasBegun(`${D16}.rebuild`);
    const worker = await commands.stack.pid('worker');
    process.kill(worker, 'SIGKILL');
    await until('the worker to be gone', () => !isRunning(worker));
    await commands.stack.up(SERVICES);
    pipeline.release(`${D16}.rebuild`);
    expect(await handle.result()).toMatchObject({ counts: { fixed: 1 } });
    expect(pipeline.began().filter((step) => step === `${D16}.crm`)).toHaveLength(1);
    expect(pipeline.ended().filter((step) => step === `${D16}.rebuild`)).toHaveLength(1);
    expect(await traces(pipeline)).toBe(1);
  });
});

describe('a proposal', () => {
  test('is approved by the hash of exactly the text that was shown', async () => {
    const pipeline = broken('approve');
    const handle = await pipeline.start({ partitions: [D16] });
    const { id: failure } = await pipeline.waiting(D16);
    expect(await refusal(pipeline.resolve(D16, { action: 'approve', proposal: 'x', failure }))).toMatch(/no proposal/);
    const sql = trace(pipeline);
    const proposal = await propose(pipeline, { failure, sql, explanation: 'one row is missing', by: 'bob' });
    expect(proposal).toMatchObject({ sql, sha256: sha256Hex(sql), rehearsal: { allowed: true, rows: 1 } });
    expect(await traces(pipeline)).toBe(0);

    const approve = (hash: string) =>
      pipeline.resolve(D16, { action: 'approve', proposal: hash, failure, then: 'continue' });
    expect(await refusal(approve(sha256Hex(`${sql} `)))).toMatch(/but the one that is shown is/);
    // Changed by one byte after being shown: the hash that was looked at is no longer the proposal's.
    await propose(pipeline, { failure, sql: `${sql} ` });
    expect(await refusal(approve(proposal.sha256))).toMatch(/but the one that is shown is/);
    expect(await traces(pipeline)).toBe(0);
    await propose(pipeline, { failure, sql });
    expect(await currentDetails(pipeline.day(D16))).toContain(`{"action":"approve","proposal":"${proposal.sha256}"`);
    await approve(proposal.sha256);
    expect(await handle.result()).toMatchObject({ counts: { fixed: 1 } });
    expect(await traces(pipeline)).toBe(1);
  });

  test('that came through MCP cannot be approved through MCP', async () => {
    const pipeline = broken('mcp');
    await pipeline.start({ partitions: [D16] });
    const { id: failure } = await pipeline.waiting(D16);
    const { sha256: proposal } = await propose(pipeline, { failure, sql: trace(pipeline), viaMcp: true });
    const decision = { action: 'approve', proposal, failure } as const;
    expect(await refusal(pipeline.resolve(D16, { ...decision, via: 'mcp' }))).toMatch(/a person has to/);
    await pipeline.resolve(D16, { ...decision, then: 'continue', by: 'ann' });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { fixed: 1 } });
  });

  test('is refused when the guard refuses its SQL, and rejected by a person; the day goes on waiting', async () => {
    const pipeline = broken('reject');
    await pipeline.start({ partitions: [D16] });
    const { id: failure } = await pipeline.waiting(D16);
    expect(await refusal(propose(pipeline, { failure, sql: 'truncate table shop.orders' }))).toMatch(/TRUNCATE/i);
    expect(await refusal(propose(pipeline, { failure: 'ffffffff-1', sql: 'x' }))).toMatch(/is waiting/);
    const { sha256: proposal } = await propose(pipeline, { failure, sql: trace(pipeline) });
    await pipeline.resolve(D16, { action: 'reject', proposal, note: 'not like this', by: 'ann' });
    expect(await pipeline.state(D16)).toMatchObject({
      status: 'waiting',
      proposal: null,
      decisions: [{ action: 'reject', sha256: proposal, note: 'not like this' }],
    });
    pipeline.mend(`${D16}.crm`);
    await pipeline.resolve(D16, { action: 'retry' });
    expect(await pipeline.backfill().result()).toMatchObject({ counts: { fixed: 1 } });
    expect(await traces(pipeline)).toBe(0);
  });
});

test('waiting costs no place for steps and survives a restart of everything, proposal and all', async () => {
  const days = Array.from({ length: 5 }, (_, index) => `2025-07-0${index + 1}`);
  const parked = broken('parked-fixes', { parallel_safe: true, allow_ad_hoc_sql: true });
  for (const day of days) parked.break(`${day}.crm`);
  await (await parked.start({ from: days[0]!, to: days.at(-1)!, onFailure: 'park' })).result();
  const failures = await Promise.all(days.map((day) => parked.waiting(day)));
  const sql = trace(parked);
  const proposals = await Promise.all(
    days.map(
      (day, i): Promise<Proposal> =>
        parked.day(day).executeUpdate('propose', { args: [{ failure: failures[i]!.id, sql }] }),
    ),
  );
  expect(new Set(proposals.map(({ sha256 }) => sha256)).size).toBe(1);
  const other = commands.pipeline('beside');
  expect(await other.run({ from: D16, to: D17 })).toMatchObject({ counts: { succeeded: 2 } });

  await commands.stack.down();
  await commands.stack.up(SERVICES);
  await until('the worker to know the proposal', async () => (await parked.state(days[0]!)).proposal);
  for (const [i, day] of days.entries()) {
    const approval = {
      action: 'approve',
      proposal: proposals[i]!.sha256,
      failure: failures[i]!.id,
      then: 'continue',
    } as const;
    await parked.resolve(day, approval);
    expect(await parked.day(day).result()).toMatchObject({ status: 'fixed' });
  }
  expect(await traces(parked)).toBe(days.length);
});
