import { expect, test } from '@jest/globals';
import { kindOfText } from '../../../src/activities/classify/error-text.js';

test.each([
  [
    'transient',
    "Database Error\n  HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded with url: /bigquery/v2 (Caused by NewConnectionError(Connection refused))",
  ],
  [
    'transient',
    'Database Error in model a (models/a.sql)\n  503 POST https://bigquery.googleapis.com/x: Service Unavailable',
  ],
  ['transient', '429 GET http://127.0.0.1:9050/bigquery/v2/projects: Exceeded rate limits'],
  [
    'transient',
    'Database Error in model a\n  Could not serialize access to table p:d.t due to concurrent update at [1:1]',
  ],
  ['transient', 'ConnectionResetError: [Errno 104] Connection reset by peer'],
  ['sql_error', 'Database Error in model bad (models/bad.sql)\n  Unrecognized name: b at [1:8]'],
  ['sql_error', 'BadRequest: 400 POST http://127.0.0.1:9050/bigquery/v2/projects/p/jobs: Syntax error: Unexpected end'],
  ['sql_error', 'Division by zero: 500 / 0 at [2:7]'],
  ['step_error', 'Compilation Error in model bad (models/bad.sql)\n  boo'],
  ['step_error', 'load_landing_file: The landing file gs://talbots-landing/2025-07-16.csv.gz is missing.'],
  ['step_error', '502 rows were rejected'],
  ['missing_executable', "Runtime Error\n  Could not find profile named 'probe'"],
  ['missing_executable', "Runtime Error\n  The profile 'probe' does not have a target named 'zzz'."],
])('%s: %s', (kind, message) => {
  expect(kindOfText(message)).toBe(kind);
});
