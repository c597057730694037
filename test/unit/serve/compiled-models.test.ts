import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { projectSha256 } from '../../../src/serve/compiled-models.js';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'dayfill-projects-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let projects = 0;

/** The hash of a project with these files, in a folder of its own. */
function hashOf(files: Record<string, string>): string {
  const project = path.join(directory, `${projects++}`);
  for (const [name, content] of Object.entries({ 'dbt_project.yml': 'name: a', ...files })) {
    mkdirSync(path.dirname(path.join(project, name)), { recursive: true });
    writeFileSync(path.join(project, name), content);
  }
  return projectSha256(project);
}

describe('projectSha256', () => {
  test('is the same for the same files, wherever they are and whichever was written first', () => {
    const files = { 'models/a.sql': 'select 1', 'models/b/c.sql': 'select 2', 'macros/m.sql': '' };
    expect(hashOf(files)).toMatch(/^[0-9a-f]{64}$/);
    expect(hashOf(Object.fromEntries(Object.entries(files).reverse()))).toBe(hashOf(files));
  });

  test.each<[string, Record<string, string>]>([
    ['another content', { 'models/a.sql': 'select 2' }],
    ['another name', { 'models/b.sql': 'select 1' }],
    ['another folder', { 'macros/a.sql': 'select 1' }],
    ['one more', { 'models/a.sql': 'select 1', 'seeds/s.csv': '' }],
    ['another project file', { 'models/a.sql': 'select 1', 'dbt_project.yml': 'name: b' }],
    ['a name that runs into the content', { 'models/a.sqlselect 1': '' }],
  ])('is another for %s', (_, files) => {
    expect(hashOf(files)).not.toBe(hashOf({ 'models/a.sql': 'select 1' }));
  });

  test('leaves out what models are not made of', () => {
    const others = { 'tests/t.sql': 'select 1', 'target/manifest.json': '{}', 'README.md': '', 'profiles.yml': '' };
    expect(hashOf({ 'models/a.sql': 'select 1', ...others })).toBe(hashOf({ 'models/a.sql': 'select 1' }));
  });
});
