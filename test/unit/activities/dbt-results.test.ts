import { describe, expect, test } from '@jest/globals';
import { dbtFailure, dbtOutput, type RunResults } from '../../../src/activities/classify/dbt-results.js';

type Node = RunResults['results'][number];
const results = (...nodes: Node[]): RunResults => ({ metadata: { invocation_id: 'inv' }, results: nodes });
const model = (status: string, message?: string): Node => ({ unique_id: 'model.crm.conversions', status, message });
const dataTest = (name: string, status: string, message?: string): Node => ({
  unique_id: `test.crm.${name}.c89b5d298c`,
  status,
  message,
});
const busy = 'Database Error in model conversions\n  503 POST http://x/jobs: Service Unavailable';

describe('why a build did not succeed', () => {
  test('failing tests are told by name, also those that could not be run', () => {
    const failure = dbtFailure(
      results(
        model('success'),
        dataTest('unique_key', 'fail', 'Got 2 results, configured to fail if != 0'),
        dataTest(
          'broken',
          'error',
          'Database Error in test broken (t.sql)\n  no such column\n  compiled code at /x/y.sql',
        ),
        { unique_id: 'unit_test.crm.conversions.keeps_the_latest', status: 'fail', message: 'actual differs' },
        dataTest('soft', 'warn', 'Got 1 result'),
      ),
      1,
    );
    expect(failure).toMatchObject({
      kind: 'test_failure',
      tests: ['broken', 'unique_key', 'keeps_the_latest'],
      exitCode: 1,
    });
    expect(failure?.message).toContain('Failure in test unique_key: Got 2 results');
    expect(failure?.message).not.toContain('compiled code');
  });

  test('the same failure reads the same, in whatever order the threads of dbt ended', () => {
    const failing = [dataTest('a', 'fail', 'Got 1 result'), dataTest('b', 'fail', 'Got 1 result')];
    const { message, tests } = dbtFailure(results(...failing), 1)!;
    expect(dbtFailure(results(...failing.reverse()), 1)).toMatchObject({ tests, message });
    expect(tests).toEqual(['a', 'b']);
  });

  test('the error of a model comes before failing tests, and keeps its position', () => {
    const failure = dbtFailure(
      results(
        model(
          'error',
          'Database Error in model conversions (m.sql)\n  Unrecognized name: b at [1:8]\n  compiled code at /a',
        ),
        dataTest('unique_key', 'fail', 'Got 2 results'),
      ),
      1,
    );
    expect(failure).toMatchObject({ kind: 'sql_error', tests: [] });
    expect(failure?.message).toBe('Database Error in model conversions (m.sql)\n  Unrecognized name: b at [1:8]');
  });

  test('a model that does not compile is no SQL error', () => {
    expect(dbtFailure(results(model('error', 'Compilation Error in model conversions\n  boo')), 1)?.kind).toBe(
      'step_error',
    );
  });

  test('what another try may heal is transient, unless something else is broken as well', () => {
    expect(dbtFailure(results(model('error', busy), dataTest('unique_key', 'fail', 'Got 2')), 1)?.kind).toBe(
      'transient',
    );
    expect(dbtFailure(results(dataTest('t', 'error', busy), dataTest('u', 'fail', 'Got 2')), 1)?.kind).toBe(
      'transient',
    );
    const mixed = results(model('error', busy), {
      ...model('error', 'Database Error\n  no such table'),
      unique_id: 'model.crm.b',
    });
    expect(dbtFailure(mixed, 1)).toMatchObject({ kind: 'sql_error', message: 'Database Error\n  no such table' });
  });

  test('a failed hook is a failure of the build', () => {
    const hook = { unique_id: 'operation.crm.crm-on-run-end-0', status: 'error', message: 'Database Error\n  no' };
    expect(dbtFailure(results(model('success'), hook), 1)?.kind).toBe('sql_error');
  });

  test('warnings, skips and successes are no failure', () => {
    expect(
      dbtFailure(results(model('success'), model('skipped'), dataTest('t', 'warn'), dataTest('u', 'pass')), 0),
    ).toBeNull();
  });
});

test('the output counts nodes by status and tests that warned, and adds up what the jobs cost', () => {
  const jobs = [
    { ...model('success'), adapter_response: { job_id: 'a', bytes_billed: 10, slot_ms: 5 } },
    { ...dataTest('t', 'pass'), adapter_response: { job_id: 'b', bytes_billed: 20 } },
  ];
  expect(dbtOutput(results(...jobs, dataTest('u', 'warn'), dataTest('v', 'skipped')))).toEqual({
    counts: { success: 1, pass: 1, warn: 1, skipped: 1 },
    tests: { run: 2, warned: 1 },
    jobIds: ['inv', 'a', 'b'],
    bytesBilled: 30,
    slotMs: 5,
  });
  expect(dbtOutput(results(model('success')))).toMatchObject({ bytesBilled: null, slotMs: null });
});
