import { describe, expect, it } from '@jest/globals';
import { regexProblem } from '../../../src/pipeline/regex.js';

describe('regular expressions', () => {
  it.each([
    'ERROR=0',
    'Failure in test \\w+',
    '^Database Error in model \\w+ \\(.*\\)$',
    '(?:quota|rate limit) exceeded',
    '(no|not) found(: .*)?',
    '[(a+)+]',
    '\\(a+\\)+',
    '(\\d{4}-)+x',
    '(ab){3}',
    'C:\\\\1',
    '(?<day>\\d{4}) (?=x+)y(?!z)(?<=a)',
  ])('%s is fine', (pattern) => {
    expect(regexProblem(pattern)).toBeNull();
  });

  it.each([
    '(a+)+b',
    '(a*)*',
    '(a|a)*b',
    '((a+))+',
    '(a?){30}',
    '(?:x(y+)z)*',
    '(?<n>a+)+',
    '(.*,){11}P',
    '(a)\\1',
    '(?<n>a)\\k<n>',
  ])('%s could take forever', (pattern) => {
    expect(regexProblem(pattern)).toMatch(/^this regular expression could take forever/);
  });

  it('must compile and be short', () => {
    expect(regexProblem('[')).toMatch(/^not a regular expression: /);
    expect(regexProblem('a'.repeat(300))).toBeNull();
    expect(regexProblem('a'.repeat(301))).toBe('a regular expression has at most 300 characters');
  });
});
