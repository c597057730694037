// biome-ignore-all lint/suspicious/noThenProperty: the word of the pipeline file; not a function, so no promise
import { describe, expect, it } from '@jest/globals';
import { PartitionError } from '../../../src/pipeline/errors.js';
import { needsPreviousState, renderPartition, renderProjects, renderRemedyRun } from '../../../src/pipeline/render.js';
import { pipeline, remedy, step, work } from './definitions.js';

const NOW = '2025-08-01T00:00:00.000Z';
const input = { pipeline: 'talbots', partition: '2025-07-16' };

describe('the projects of a pipeline', () => {
  const query = (project?: string) =>
    work({ uses: 'bigquery/query', with: { file: 'a.sql', ...(project !== undefined && { project }) } });

  it('are that of the var and those that queries name, remedies and what else a step may run included', () => {
    const steps = [
      step({ id: 'a', ...query('one-project') }),
      step({
        id: 'b',
        ...query(),
        remedies: [remedy({ id: 'c', run: [query('${vars.other}')] })],
        cleanup: [query('two-project')],
        afterFix: [query('${previous.state.project}')],
      }),
    ];
    const text = (value: string) => ({ default: value, pattern: null, overridable: false });
    const vars = { project_id: text('own-project'), other: text('one-project') };
    expect(renderProjects(pipeline({ vars, steps }))).toEqual(['own-project', 'one-project', 'two-project']);
    expect(renderProjects(pipeline())).toEqual([]);
  });
});

describe('a partition', () => {
  it('is rendered with bounds, steps, rules and the time of its source', () => {
    const definition = pipeline({
      lock: 'crm',
      steps: [step({ id: 'crm', title: 'CRM ingestion', with: { run: ['load', '${partition}'], success_codes: [0] } })],
    });
    expect(renderPartition(definition, input, undefined, NOW)).toEqual({
      bounds: { key: '2025-07-16', start: '2025-07-16', end: '2025-07-16' },
      earlierSteps: [],
      project: null,
      steps: [
        {
          id: 'crm',
          title: 'CRM ingestion',
          uses: 'command',
          with: { run: ['load', '2025-07-16'], success_codes: [0] },
          timeoutMs: 60_000,
          retry: { attempts: 3, initialMs: 30_000 },
          afterFix: [],
          cleanup: [],
        },
      ],
      onFailure: 'wait',
      lock: 'crm',
      decideWithin: null,
      autoApply: {},
      notifies: false,
      fixes: false,
      sourceAsOf: NOW,
      localLedger: true,
    });
  });

  it('leaves out the steps before fromStep, and takes onFailure from the input', () => {
    const rendered = renderPartition(pipeline(), { ...input, fromStep: 'identity', onFailure: 'stop' }, undefined, NOW);
    expect(rendered.steps.map(({ id }) => id)).toEqual(['identity']);
    expect(rendered.earlierSteps).toEqual(['crm']);
    expect(rendered.onFailure).toBe('stop');
  });

  it('refuses a step that is not there', () => {
    expect(() => renderPartition(pipeline(), { ...input, fromStep: 'idents' }, undefined, NOW)).toThrow(
      new PartitionError('talbots has no step "idents"; expected one of crm, identity.'),
    );
  });

  it('refuses a partition that is not on the calendar', () => {
    const early = { ...input, partition: '2025-06-30' };
    expect(() => renderPartition(pipeline(), early, undefined, NOW)).toThrow(PartitionError);
  });

  it('is skipped by decide_within only where it may be missed and catch-up started it', () => {
    const decideWithin = { timeMs: 1000, action: 'abort' as const, remindMs: null };
    const action = (critical: boolean, startedBy?: 'catch-up') => {
      const asked = startedBy === undefined ? input : { ...input, startedBy };
      return renderPartition(pipeline({ critical, decideWithin }), asked, undefined, NOW).decideWithin?.action;
    };
    expect([action(true), action(true, 'catch-up'), action(false)]).toEqual(['abort', 'abort', 'abort']);
    expect(action(false, 'catch-up')).toBe('skip');
    expect(renderPartition(pipeline(), { ...input, startedBy: 'catch-up' }, undefined, NOW).decideWithin).toBeNull();
  });

  it('does not change the definition', () => {
    const definition = pipeline({ steps: [step({ id: 'crm', with: { run: ['load', '${partition}'] } })] });
    const before = structuredClone(definition);
    renderPartition(definition, input, undefined, NOW);
    expect(definition).toEqual(before);
  });
});

describe('limits', () => {
  const limits = {
    ...{ runtimeMs: 1000, bytesBilled: null, slotMs: null, costUsd: null, onLimit: 'wait' as const },
    tempTables: [{ like: 'tmp_*_${partition}', project: null, dataset: null, dateColumn: 'day', maxDays: 7 }],
  };
  const fixed = (value: string) => ({ default: value, pattern: null, overridable: false });
  const limited = (like?: string) =>
    pipeline({
      vars: { project_id: fixed('shop-dev'), dataset: fixed('shop') },
      steps: [
        step({
          id: 'crm',
          limits: { ...limits, tempTables: limits.tempTables.map((table) => ({ ...table, ...(like && { like }) })) },
          afterFix: [work()],
          cleanup: [work({ with: { run: ['rm', '${partition}'] } })],
        }),
      ],
    });

  it('hold for the step, its remedies and what follows a fix, and not for the cleanup', () => {
    const [crm] = renderPartition(limited(), input, undefined, NOW).steps;
    const tempTables = [
      { like: 'tmp_*_2025-07-16', project: 'shop-dev', dataset: 'shop', dateColumn: 'day', maxDays: 7 },
    ];
    expect(crm!.limits).toEqual({ ...limits, tempTables });
    expect(crm!.afterFix[0]!.limits).toEqual(crm!.limits);
    expect(crm!.cleanup).toMatchObject([{ id: 'crm.cleanup.1', with: { run: ['rm', '2025-07-16'] } }]);
    expect(crm!.cleanup![0]).not.toHaveProperty('limits');
    const { run } = renderRemedyRun(limited(), input, 'crm', [remedy({ id: 'mend' })], {}, undefined, null);
    expect(run[0]!.limits).toEqual(crm!.limits);
  });

  it('name no table that could close its backquotes', () => {
    expect(() => renderPartition(limited('x` where true'), input, undefined, NOW)).toThrow(
      new PartitionError('Step crm cannot run for 2025-07-16: limits.temp_tables.like is not usable: "x` where true".'),
    );
  });
});

describe('vars', () => {
  const definition = pipeline({
    vars: {
      client: { default: 'talbots', pattern: null, overridable: false },
      zone: { default: 'eu1', pattern: '[a-z]+\\d', overridable: true },
    },
    steps: [step({ id: 'crm', with: { run: ['load', '${vars.client}/${vars.zone}'] } })],
  });
  const argument = (vars: Record<string, string>) =>
    renderPartition(definition, { ...input, vars }, undefined, NOW).steps[0]!.with.run;

  it('have the values of the file, and of the start where it may', () => {
    expect(argument({})).toEqual(['load', 'talbots/eu1']);
    expect(argument({ zone: 'us2' })).toEqual(['load', 'talbots/us2']);
  });

  it.each([
    [{ client: 'x' }, 'The var client of talbots is fixed; mark it overridable: true in the pipeline file.'],
    [{ colour: 'x' }, 'talbots has no var colour.'],
    [{ constructor: 'x' }, 'talbots has no var constructor.'],
    [{ zone: 'eu1; rm' }, 'The var zone must match [a-z]+\\d; "eu1; rm" does not.'],
    [{ zone: 'eu1\n' }, 'The var zone must match [a-z]+\\d; "eu1\\n" does not.'],
    [{ zone: '' }, 'The var zone must match [a-z]+\\d; "" does not.'],
  ] as [Record<string, string>, string][])('refuses %j', (vars, message) => {
    expect(() => argument(vars)).toThrow(new PartitionError(message));
  });
});

describe('bigquery/query', () => {
  const vars = {
    project_id: { default: 'talbots-dev', pattern: null, overridable: false },
    location: { default: 'US', pattern: null, overridable: false },
  };
  const rendered = (given: Record<string, string>) =>
    renderPartition(
      pipeline({ vars, steps: [step({ id: 'fix', uses: 'bigquery/query', with: { file: 'fixes/a.sql', ...given } })] }),
      input,
      undefined,
      NOW,
    ).steps[0]!.with;

  it('takes project, location and dataset from the vars, where it names none', () => {
    expect(rendered({})).toEqual({ file: 'fixes/a.sql', project: 'talbots-dev', location: 'US' });
    expect(rendered({ project: 'other', dataset: 'd' })).toEqual({
      file: 'fixes/a.sql',
      project: 'other',
      location: 'US',
      dataset: 'd',
    });
  });
});

describe('what the partition before handed on', () => {
  const definition = pipeline({
    steps: [
      step({ id: 'a', with: { run: ['load', '${previous.state.cursor}'] } }),
      step({ id: 'b', uses: 'dbt/build', with: { project: 'p', vars: { cursor: '${previous.state.cursor}' } } }),
    ],
  });

  it('keeps its type in dbt vars and is text in an argument', () => {
    const [a, b] = renderPartition(definition, input, { cursor: 42 }, NOW).steps;
    expect(a!.with.run).toEqual(['load', '42']);
    expect(b!.with.vars).toEqual({ cursor: 42 });
  });

  it('must be there, but for the first partition', () => {
    expect(() => renderPartition(definition, input, undefined, NOW)).toThrow('run that one first');
    const [a, b] = renderPartition(definition, { ...input, partition: '2025-07-01' }, undefined, NOW).steps;
    expect(a!.with.run).toEqual(['load', '']);
    expect(b!.with.vars).toEqual({ cursor: null });
  });

  it('is checked again once it is in place', () => {
    const target = pipeline({
      steps: [step({ id: 'b', uses: 'dbt/build', with: { project: 'p', target: '${previous.state.t}' } })],
    });
    expect(() => renderPartition(target, input, { t: '--help' }, NOW)).toThrow(
      new PartitionError(
        'Step b cannot run for 2025-07-16: with.target is not usable: expected text that does not begin with "-".',
      ),
    );
  });

  it('is known to be needed, by steps and by remedies', () => {
    expect(needsPreviousState(definition)).toBe(true);
    expect(needsPreviousState(pipeline())).toBe(false);
    const run = [work({ with: { run: ['x', '${previous.state.y}'] } })];
    expect(needsPreviousState(pipeline({ steps: [step({ id: 'a', remedies: [remedy({ id: 'r', run })] })] }))).toBe(
      true,
    );
  });
});

describe('a remedy run', () => {
  const dedupe = remedy({
    id: 'dedupe',
    then: 'continue',
    run: [
      work({ uses: 'bigquery/query', with: { file: 'fixes/dedupe.sql', project: 'p-${partition}' } }),
      work({ with: { run: ['true'] } }),
    ],
  });
  const restore = remedy({ id: 'restore', then: 'retry' });
  const definition = pipeline({ steps: [step({ id: 'crm', remedies: [dedupe, restore] })] });

  it('has ids and titles that say where its steps belong', () => {
    const plan = renderRemedyRun(definition, input, 'crm', [dedupe], {}, undefined, null);
    expect(plan).toMatchObject({ ids: ['dedupe'], then: 'continue' });
    expect(plan.run.map(({ id, title }) => [id, title])).toEqual([
      ['crm.dedupe.1', 'dedupe: dedupe.sql'],
      ['crm.dedupe.2', 'dedupe: command'],
    ]);
    expect(plan.run[0]!.with).toEqual({ file: 'fixes/dedupe.sql', project: 'p-2025-07-16' });
    expect(plan.run[0]!.retry).toEqual({ attempts: 3, initialMs: 30_000 });
  });

  it('goes on counting when it is applied again, so that its work is not taken for done', () => {
    const plan = renderRemedyRun(definition, input, 'crm', [dedupe], { dedupe: 2 }, undefined, null);
    expect(plan.run.map(({ id }) => id)).toEqual(['crm.dedupe.5', 'crm.dedupe.6']);
  });

  it('of several remedies runs them in order, and retries when any of them says so', () => {
    const plan = renderRemedyRun(definition, input, 'crm', [dedupe, restore], {}, undefined, null);
    expect(plan).toMatchObject({ ids: ['dedupe', 'restore'], then: 'retry' });
    expect(plan.run.map(({ id }) => id)).toEqual(['crm.dedupe.1', 'crm.dedupe.2', 'crm.restore.1']);
  });
});
