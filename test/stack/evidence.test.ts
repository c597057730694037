import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { pino } from 'pino';
import { adviceActivities } from '../../src/activities/advise.js';
import { dagsterJob } from '../../src/activities/dagster-job.js';
import { dbtBuild } from '../../src/activities/dbt-build.js';
import type { StepDeps } from '../../src/activities/step-activity.js';
import { createAdvisers } from '../../src/advisers/create-advisers.js';
import type { Config } from '../../src/config.js';
import type { StepActivity } from '../../src/contracts/activities.js';
import type { StepFailure } from '../../src/contracts/failure.js';
import type { FailingTest, Proposal } from '../../src/contracts/fix.js';
import type { StepRequest, StepResult } from '../../src/contracts/step.js';
import { loadPipeline } from '../../src/pipeline/load.js';
import { createRunner } from '../../src/runners/create-runner.js';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import { createSqlGuard } from '../../src/warehouse/fixes/guard.js';
import { openLedger } from '../../src/warehouse/ledger.js';
import { startTestStack, type TestStack } from '../support/stack.js';
import { query, sampleFiles } from '../support/talbots.js';
import { NO_PROTECTED_TABLES } from './fixtures/protected-tables.js';

const DAY = '2025-07-21';
const PROJECT = 'evidence-test';
const TALBOTS = 'talbots-og-map-dev';

let stack: TestStack;
let config: Config;
let deps: StepDeps;
beforeAll(async () => {
  stack = await startTestStack({ services: ['bigquery', 'storage'] });
  config = { ...stack.config(), pipelinesDir: path.resolve('pipelines') };
  const logger = pino({ level: 'silent' });
  const runner = createRunner({ stateDir: config.stateDir, logger });
  const nothing = async () => {};
  deps = {
    config,
    runner,
    logger,
    clients: bigQueryClients(config),
    protectedTables: NO_PROTECTED_TABLES,
    warn: nothing,
    cancelLabelledJobs: nothing,
  };
});
afterAll(async () => {
  await deps?.runner.close();
  await stack?.stop();
});

/** Runs a step that fails, and gives its failure and what its evidence says. */
async function failed(
  activity: (deps: StepDeps) => StepActivity,
  given: StepRequest['with'],
): Promise<{ failure: StepFailure; tests: FailingTest[] }> {
  const environment = new MockActivityEnvironment({ attempt: 1 }, { logger: new DefaultLogger('ERROR') });
  const request: StepRequest = {
    key: `talbots/${DAY}/crm`,
    pipeline: 'talbots',
    partition: { key: DAY, start: DAY, end: DAY },
    step: 'crm',
    project: TALBOTS,
    with: given,
    timeoutMs: 120_000,
    retry: { attempts: 1, initialMs: 10 },
  };
  const running = environment.run<[StepRequest], StepResult, StepActivity>(activity(deps), request);
  const error = await running.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ApplicationFailure)) throw new Error(`the step did not fail as expected: ${error}`);
  const failure = error.details![0] as StepFailure;
  if (failure.evidence === null) return { failure, tests: [] };
  return { failure, tests: JSON.parse(readFileSync(path.join(config.stateDir, failure.evidence), 'utf8')) };
}

function project(name: string, files: Record<string, string>): string {
  const folder = path.join(config.stateDir, 'projects', name);
  const profile = {
    ...{ type: 'bigquery', method: 'oauth-secrets', token: 'x', threads: 2 },
    ...{ api_endpoint: "{{ env_var('DAYFILL_BIGQUERY_ENDPOINT') }}", project: PROJECT, dataset: name },
  };
  const all = {
    'dbt_project.yml': `name: ${name}\nversion: "1.0"\nprofile: probe\nflags: { send_anonymous_usage_stats: false }\n`,
    'profiles.yml': JSON.stringify({ probe: { target: 'dev', outputs: { dev: profile } } }),
    ...files,
  };
  for (const [file, text] of Object.entries(all)) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), text);
  }
  return folder;
}

test('what each failing test of a dbt build says is kept, down to the tables that it comes from', async () => {
  const bigquery = bigQueryClients(config)(PROJECT);
  await bigquery.createDataset('landing');
  await bigquery.query("create table landing.raw as select 1 as id, 'fax' as channel union all select 1, null");
  const folder = project('shop', {
    'models/first.sql': "select * from {{ source('landing', 'raw') }}",
    'models/last.sql': "select * from {{ ref('first') }}",
    'models/parent.sql': 'select 7 as id',
    'models/models.yml': `
version: 2
sources: [{ name: landing, tables: [{ name: raw, columns: [{ name: channel, data_tests: [not_null] }] }] }]
models:
  - name: last
    columns:
      - name: id
        data_tests:
          - unique: { config: { where: "channel = 'fax' or id = {{ var('id') }}" } }
          - relationships: { arguments: { to: ref('parent'), field: id } }
      - name: channel
        data_tests: [not_null: { config: { severity: warn } }, accepted_values: { arguments: { values: [web] } }]
`,
    'tests/by_hand.sql': "select * from {{ ref('last') }} where channel is null",
  });
  // The build stops at a failing test of its source; here the models are what is looked at.
  const { failure, tests } = await failed(dbtBuild, { project: folder, vars: { id: 1 }, exclude: 'source:*' });
  expect(failure.kind).toBe('test_failure');
  expect(failure.evidence).toMatch(/^runs-data\/talbots\/2025-07-21\/crm-[\dTZ-]+\/failing-tests\.json$/);
  const last = {
    table: `${PROJECT}.shop.last`,
    modelSql: `select * from \`${PROJECT}\`.\`shop\`.\`first\``,
    sources: [`${PROJECT}.landing.raw`],
  };
  const byName = new Map(tests.map((each) => [each.name, each]));
  expect([...byName.keys()].sort()).toEqual([...failure.tests].sort());
  expect(byName.get('unique_last_id')).toEqual({
    ...{ ...last, name: 'unique_last_id', kind: 'unique', column: 'id' },
    arguments: { where: "channel = 'fax' or id = 1" },
    sql: expect.stringMatching(/^with [\s\S]+`shop`\.`last` where channel = 'fax' or id = 1\)[\s\S]+having count/),
  });
  expect(byName.get('relationships_last_id__id__ref_parent_')).toMatchObject({
    ...{ ...last, kind: 'relationships', column: 'id' },
    arguments: { to: `${PROJECT}.shop.parent`, field: 'id' },
  });
  expect(byName.get('accepted_values_last_channel__web')).toMatchObject({
    ...{ ...last, kind: 'accepted_values', column: 'channel', arguments: { values: ['web'] } },
  });
  expect(byName.get('by_hand')).toMatchObject({ ...last, kind: null, column: null, arguments: {} });

  const ofSource = await failed(dbtBuild, { project: folder, vars: { id: 1 }, select: 'source:landing.raw' });
  expect(ofSource.tests).toEqual([
    expect.objectContaining({
      ...{ kind: 'not_null', column: 'channel', table: `${PROJECT}.landing.raw`, modelSql: null, sources: [] },
    }),
  ]);
});

test('results that cannot be read are no failure of their own', async () => {
  const folder = project('odd', {});
  const venv = path.join(folder, 'venv');
  mkdirSync(path.join(venv, 'bin'), { recursive: true });
  const said = JSON.stringify({ info: { name: 'MainReportVersion', msg: 'dbt', invocation_id: 'one' } });
  const results = { metadata: { invocation_id: 'one' }, results: [{ unique_id: 'test.odd.a.1', status: 'fail' }] };
  const script = `#!/bin/bash\necho '${said}'\necho '${JSON.stringify(results)}' > $DBT_TARGET_PATH/run_results.json\necho '{' > $DBT_TARGET_PATH/manifest.json\nexit 1\n`;
  writeFileSync(path.join(venv, 'bin/dbt'), script, { mode: 0o755 });
  const { failure } = await failed(dbtBuild, { project: folder, venv });
  expect(failure).toMatchObject({ kind: 'test_failure', tests: ['a'], evidence: null });
});

test('what fails in the build of a Dagster job leads to a fix of the table that it loads', async () => {
  await sampleFiles(stack, '--from', DAY, '--to', DAY, '--unknown-defect', DAY);
  const { failure, tests } = await failed(dagsterJob, {
    project: path.resolve('warehouse/crm_dagster'),
    module: 'crm_dagster',
    job: 'talbots_crm_ingest',
  });
  const source = `${TALBOTS}.talbots_landing.conversion`;
  expect(tests).toEqual([
    expect.objectContaining({
      ...{ name: failure.tests[0], kind: 'accepted_values', column: 'currency', sources: [source] },
      table: `${TALBOTS}.talbots_crm.conversions`,
      arguments: { values: ['USD', 'CAD'], where: `conversion_date = '${DAY}'` },
    }),
  ]);
  expect(existsSync(path.join(config.stateDir, path.dirname(failure.evidence!), 'crm'))).toBe(false);

  const clients = bigQueryClients(config);
  const { advise } = adviceActivities({
    ...{ config, clients, logger: deps.logger, advisers: createAdvisers(config, deps.logger, {}) },
    ledger: openLedger(clients('dayfill-local'), 'dayfill', 'US'),
    guard: createSqlGuard(path.join(config.venv, 'bin/python')),
    loadPipeline: (name) => loadPipeline(config.pipelinesDir, name, { defaultVenv: config.venv }),
  });
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  const place = { ...failure, id: 'run-1', fingerprint: 'f00df00df00d', step: 'crm' };
  const input = { pipeline: 'talbots', partition: DAY };
  const proposal: Proposal | null = await environment.run(advise, input, place);
  const { rehearsal, sql, remedyClass } = proposal!;
  const [{ n }] = await query(stack, `select count(*) as n from \`${source}\` where currency not in ('USD', 'CAD')`);
  expect(n).toBeGreaterThan(0);
  expect({ ...rehearsal, remedyClass }).toMatchObject({
    ...{ allowed: true, rows: n, testPasses: true, remedyClass: 'accepted_values' },
  });
  expect(sql).not.toContain(DAY);
});
