import { rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { execa } from 'execa';
import type { PartitionState } from '../../src/contracts/partition.js';
import {
  DEFECT_DAYS,
  LIGHT_CONTENTS_HEALED,
  landConversions,
  lightContents,
  lightPipelines,
  TEN_DAYS,
} from '../support/light-crm.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import { dayfill, dayfillJson } from '../support/talbots.js';
import { until } from './fixtures/processes.js';
import { temporalBinary } from './fixtures/temporal-binary.js';

const [FIRST, SECOND] = DEFECT_DAYS as [string, string, string];
let stack: TestStack;
let pipelines: string;

beforeAll(async () => {
  pipelines = lightPipelines({
    byhand: {},
    agent: {},
    auto: { auto_apply: { accepted_values: 3 } },
    capped: { auto_apply: { accepted_values: 2, not_null: 100 } },
  });
  stack = await startTestStack({ services: ['temporal', 'bigquery', 'worker'], env: { DAYFILL_PIPELINES: pipelines } });
  await Promise.all(['byhand', 'agent', 'auto', 'capped'].map((client) => landConversions(stack, client)));
  // Goes on to its first stuck day while the other is healed.
  const range = ['--from', TEN_DAYS[0]!, '--to', TEN_DAYS.at(-1)!];
  expect(await dayfill(stack, 'run', 'agent', ...range, '--detach')).toMatchObject({ exitCode: 0 });
});
afterAll(async () => {
  await stack?.stop();
  rmSync(pipelines, { recursive: true, force: true });
});

/** Runs `temporal workflow …`; gives what it prints as JSON, and throws with what it complains of. */
async function temporal(...args: string[]) {
  const address = stack.config().stackTemporal!;
  const { stdout } = await execa(temporalBinary(), ['workflow', ...args, '--address', address, '-o', 'json'], {
    env: stack.env,
    extendEnv: false,
  });
  return stdout === '' ? null : JSON.parse(stdout); // a signal has no answer
}

function update(workflowId: string, name: string, input: unknown) {
  return temporal('update', 'execute', '-w', workflowId, '--name', name, '-i', JSON.stringify(input));
}

/** Waits until a day waits and the adviser is done with it. */
function waitingDay(day: string): Promise<PartitionState> {
  const look = async () => {
    try {
      const { queryResult } = await temporal('query', '-w', `byhand/${day}`, '--type', 'state');
      const state = queryResult[0] as PartitionState;
      return state.status === 'waiting' && !state.advising ? state : null;
    } catch {
      return null; // not started yet
    }
  };
  return until(`${day} to wait`, look, 600_000);
}

test('ten days, three of them stuck, are healed with nothing but the temporal command line', async () => {
  const input = { pipeline: 'byhand', from: TEN_DAYS[0], to: TEN_DAYS.at(-1) };
  const start = ['-w', 'backfill/byhand', '--type', 'backfill', '-t', 'dayfill', '-i', JSON.stringify(input)];
  await temporal('start', ...start);

  const { failure, proposal } = await waitingDay(FIRST);
  expect(failure).toMatchObject({ kind: 'test_failure', tests: [expect.stringMatching(/^accepted_values_/)] });
  expect(proposal).toMatchObject({
    proposedBy: 'rules',
    remedyClass: 'accepted_values',
    rehearsal: { allowed: true, rows: 3, testPasses: true },
  });
  const early = update('backfill/byhand', 'resolveAlike', { fingerprint: failure!.fingerprint });
  await expect(early).rejects.toThrow(/has been healed yet/);
  const decision = { action: 'approve', proposal: proposal!.sha256, failure: failure!.id, by: 'ann' };
  const wrong = { ...decision, proposal: proposal!.sha256.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')) };
  await expect(update(`byhand/${FIRST}`, 'resolve', wrong)).rejects.toThrow(/but the one that is shown is/);
  await temporal('signal', '-w', `byhand/${FIRST}`, '--name', 'resolve', '-i', JSON.stringify(decision));

  const second = await waitingDay(SECOND);
  expect(second.failure!.fingerprint).toBe(failure!.fingerprint);
  expect(second.proposal).toMatchObject({ sha256: proposal!.sha256, remedyClass: 'past_decision' });
  const { result } = await update('backfill/byhand', 'resolveAlike', { fingerprint: failure!.fingerprint, by: 'ann' });
  expect(result).toMatchObject({ action: 'approve', canary: FIRST, released: [SECOND], stands: true });

  const ended = await temporal('result', '-w', 'backfill/byhand');
  expect(ended.result.counts).toEqual({ succeeded: 7, fixed: 3 });
  expect(await lightContents(stack, 'byhand')).toEqual(LIGHT_CONTENTS_HEALED);
}, 1_800_000);

test('ten days, three of them stuck, are healed by an agent through MCP', async () => {
  const agent = new Client({ name: 'agent', version: '1' });
  const args = [path.resolve('bin/dayfill.js'), 'mcp', '--allow-decisions'];
  await agent.connect(new StdioClientTransport({ command: process.execPath, args, env: stack.env }));
  // biome-ignore lint/suspicious/noExplicitAny: what the tool says
  const call = async (name: string, input: Record<string, unknown>): Promise<any> => {
    const answer = await agent.callTool({ name, arguments: input });
    const [{ text }] = answer.content as [{ text: string }];
    if (answer.isError) throw new Error(text);
    return answer.structuredContent;
  };
  const waiting = (day: string) =>
    until(
      `${day} to wait`,
      async () => {
        const { waiting } = await call('list_waiting', { pipeline: 'agent' });
        return waiting.find((one: { partition: string; advising: boolean }) => one.partition === day && !one.advising);
      },
      600_000,
    );
  try {
    const first = await waiting(FIRST);
    const { proposal } = await call('show_failure', { pipeline: 'agent', partition: FIRST });
    expect(proposal).toMatchObject({
      sha256: first.proposal,
      proposedBy: 'rules',
      rehearsal: { rows: 3, testPasses: true },
    });
    const at = { pipeline: 'agent', partition: FIRST, failure: first.failure };
    const alike = { pipeline: 'agent', fingerprint: first.fingerprint, note: 'the same till', by: 'an agent' };
    await expect(call('decide_all_alike', alike)).rejects.toThrow(/has been healed yet/);
    await call('decide', { ...at, action: 'approve', proposal: proposal.sha256, note: 'rehearsed', by: 'an agent' });

    const second = await waiting(SECOND);
    expect(second.proposal).toBe(proposal.sha256);
    expect(await call('decide_all_alike', alike)).toMatchObject({ canary: FIRST, released: [SECOND], stands: true });
    const status = await until(
      'the backfill to end',
      async () => {
        const now = await dayfillJson(stack, 'status', 'agent');
        return now.state === 'idle' ? now : null;
      },
      120_000,
    );
    expect(status.counts).toMatchObject({ succeeded: 7, fixed: 3 });
  } finally {
    await agent.close();
  }
  expect(await lightContents(stack, 'agent')).toEqual(LIGHT_CONTENTS_HEALED);
}, 1_800_000);

test('auto_apply heals without asking up to its cap, and asks above it', async () => {
  const run = (pipeline: string) => dayfill(stack, 'run', pipeline, '--partitions', FIRST);
  expect(await run('auto')).toMatchObject({ exitCode: 0 });
  const { decisions } = await dayfillJson(stack, 'show', 'auto', FIRST);
  expect(decisions).toMatchObject([{ action: 'approve', way: 'auto_apply', decidedBy: null }]);
  expect((await lightContents(stack, 'auto'))[FIRST]).toEqual(LIGHT_CONTENTS_HEALED[FIRST]);

  expect(await run('capped')).toMatchObject({ exitCode: 3 });
  const shown = await dayfillJson(stack, 'show', 'capped', FIRST);
  expect(shown).toMatchObject({ status: 'waiting', proposal: { rows: 3 }, decisions: [] });
});
