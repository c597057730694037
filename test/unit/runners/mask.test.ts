import { describe, expect, test } from '@jest/globals';
import { createMask } from '../../../src/runners/mask.js';

const mask = createMask({
  GITHUB_TOKEN: 'ghp_s3cr3t+value',
  DB_PASSWORD: 'ghp_s3cr3t',
  SERVICE_CREDENTIALS: '-----BEGIN KEY-----\nAbCdEf123456\n-----END KEY-----',
  SHORT_KEY: 'true',
  TOKENS: 'not-a-secret-by-name',
});

describe('personal data is taken out', () => {
  test.each([
    ['email', 'row 3: Jane.Doe+x@mail.example.com is taken', 'row 3: <email> is taken'],
    ['email in quotes', `"email":"o'neil@example.co.uk"`, `"email":"o'<email>"`],
    ['two emails', 'a.b@example.com,c@d.org', '<email>,<email>'],
    ['E.164', 'caller +14155550123.', 'caller <phone>.'],
    ['international with gaps', 'call +44 20 7946 0958 now', 'call <phone> now'],
    ['double zero', 'phone 0014155550123', 'phone <phone>'],
    ['parentheses', '(415) 555-0123', '<phone>'],
    ['dashes', 'x 415-555-0123, y', 'x <phone>, y'],
    ['dots', '415.555.0123', '<phone>'],
    ['country code', '1-415-555-0123', '<phone>'],
    ['spaces', 'at 415 555 0123', 'at <phone>'],
    ['British', '020 7946 0958', '<phone>'],
    ['French', '06 12 34 56 78', '<phone>'],
    ['bare digits that are said to be a phone number', 'phone=4155550123', 'phone=<phone>'],
    ['bare digits in JSON', '{"phone_number": "4155550123"}', '{"phone_number": "<phone>"}'],
    ['card', 'paid with 4111111111111111', 'paid with <card>'],
    ['card in groups', '5500 0000 0000 0004', '<card>'],
    ['American Express', '3782-822463-10005', '<card>'],
  ])('%s', (_, text, expected) => {
    expect(mask(text)).toBe(expected);
  });
});

describe('everything else stays', () => {
  test.each([
    'partition 2025-07-16, from 2025-07-16 to 2025-08-14, 20250716, 16.07.2025, 07/16/2025',
    '2025-07-16T08:29:10.123456Z 2025-07-16 08:29:10 UTC 1752654550 1752654550123',
    'took 3723.52 s, 0 hours 0 minutes and 0.47 seconds, 12:34:56',
    'amount 1234567.89 USD, 1,234,567.89, -415.55, 415 555 rows',
    'order 4155550123, conversion_id 8837465520, build 20250716001',
    'job d09341ee-7232-47fa-be0d-2688129e67fa, run 12345678-1234-1234-1234-123456789012',
    'sha256 4111111111111111a0b1, id_4111111111111111, 4111111111111112',
    'Done. PASS=2 WARN=1 ERROR=2 SKIP=2 NO-OP=0 TOTAL=7',
    'listening on 127.0.0.1:9050, version 1.12.1, dbt=1.11.16, bytes 1234567890123',
    'Unrecognized name: nope at [11:10]; where @partition = DATE "2025-07-16"; select @@row_count',
    'a value is true and the name not-a-secret-by-name',
  ])('%s', (text) => {
    expect(mask(text)).toBe(text);
  });
});

test('values of variables named as secrets are taken out, whole', () => {
  expect(mask('Authorization: Bearer ghp_s3cr3t+value')).toBe('Authorization: Bearer <secret>');
  expect(mask('password ghp_s3cr3t!')).toBe('password <secret>!');
  expect(mask('AbCdEf123456')).toBe('<secret>');
});

test('a long line takes no long time', () => {
  const started = performance.now();
  mask('a'.repeat(500_000) + '@' + '1 '.repeat(250_000));
  expect(performance.now() - started).toBeLessThan(2000);
});
