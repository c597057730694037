import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { ENVIRONMENT_VARIABLES, loadConfig } from '../../../src/config.js';
import { backfillInputSchema } from '../../../src/contracts/backfill.js';
import { catchUpInputSchema } from '../../../src/contracts/catch-up.js';
import { alikeSchema, decisionSchema } from '../../../src/contracts/decision.js';
import { backfillId } from '../../../src/contracts/ids.js';
import { STEP_KINDS } from '../../../src/contracts/step.js';
import { partitionsOfRange } from '../../../src/pipeline/calendar.js';
import { loadPipeline } from '../../../src/pipeline/load.js';
import { forVars } from '../../../src/pipeline/render.js';
import { pipelineSchema } from '../../../src/pipeline/schema.js';

const ROOT = process.cwd();
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');
const documents = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(path.join(ROOT, 'docs')).map((name) => `docs/${name}`),
].filter((name) => name.endsWith('.md'));

describe('the documents match the code', () => {
  const world = mkdtempSync(path.join(tmpdir(), 'dayfill-docs-'));
  afterAll(() => rmSync(world, { recursive: true, force: true }));

  it('shows a pipeline file that the loader takes as it stands', () => {
    const yaml = /```yaml\n(pipeline: orders[\s\S]*?)```/.exec(read('docs/pipelines.md'))![1]!;
    const pipeline = path.join(world, 'project/pipelines/orders');
    mkdirSync(path.join(pipeline, 'fixes'), { recursive: true });
    writeFileSync(path.join(pipeline, 'pipeline.yaml'), yaml);
    writeFileSync(path.join(pipeline, 'fixes/drop_doubles.sql'), 'select 1');
    mkdirSync(path.join(world, 'project/dbt'));
    for (const venv of ['project/.venv', 'project/default']) {
      mkdirSync(path.join(world, venv, 'bin'), { recursive: true });
      writeFileSync(path.join(world, venv, 'bin/python'), '', { mode: 0o755 });
    }
    const defaultVenv = path.join(world, 'project/default');
    const definition = loadPipeline(path.join(world, 'project/pipelines'), 'orders', { defaultVenv });
    expect(definition.steps.map(({ id }) => id)).toEqual(['load', 'build']);
    expect(definition.steps[1]!.remedies[0]).toMatchObject({ id: 'drop-doubles', then: 'retry', attempts: 1 });
  });

  it('describes every step kind and every setting', () => {
    for (const kind of STEP_KINDS) expect(read('docs/pipelines.md')).toContain(`| \`${kind}\` |`);
    for (const [name, meaning] of Object.entries(ENVIRONMENT_VARIABLES)) {
      expect(read('docs/operations.md')).toContain(`| \`${name}\` | ${meaning} |`);
    }
  });

  it('gives temporal lines whose ids and inputs the workflows take', () => {
    const lines = read('README.md').split('\n');
    const start = lines.find((line) => line.startsWith('temporal workflow start'))!;
    const input = backfillInputSchema.parse(JSON.parse(/-i '(.*)'/.exec(start)![1]!));
    expect(start).toContain(`-w ${backfillId(input.pipeline)} `);
    const update = lines.find((line) => line.startsWith('temporal workflow update'))!;
    expect(decisionSchema.parse(JSON.parse(/-i '(.*)'/.exec(update)![1]!)).action).toBe('retry');
  });

  it('gives a night that catch-up takes', () => {
    const line = read('docs/operations.md')
      .split('\n')
      .find((one) => one.includes('--type catchUp'))!;
    expect(catchUpInputSchema.parse(JSON.parse(/-i '(.*)'/.exec(line)![1]!))).toMatchObject({ pipeline: 'orders' });
  });

  it('gives decisions that the workflows take', () => {
    const updates = [...read('docs/decisions.md').matchAll(/--name (resolve\w*) -i '(.*)'/g)];
    const answers = updates.map(([, name, input]) =>
      (name === 'resolveAlike' ? alikeSchema : decisionSchema).safeParse(JSON.parse(input!)),
    );
    expect(answers.map(({ success }) => success)).toEqual([true, true, true, true]);
  });

  it('shows every key of decisions and fixes as the schema takes it', () => {
    const fences = ['docs/pipelines.md', 'docs/decisions.md'].flatMap((file) =>
      [...read(file).matchAll(/```yaml\n((?:fixes|decide_within|notify):[\s\S]*?)```/g)].map((match) => match[1]!),
    );
    expect(fences).toHaveLength(3);
    const { steps } = parse('steps:\n  - id: a\n' + /^ {4}after_fix: .*$/m.exec(read('docs/pipelines.md'))![0]);
    for (const fence of fences) {
      const step = { ...steps[0], uses: 'command', with: { run: ['a'] } };
      const file = { pipeline: 'a', partition: { every: '1d', start: '2025-07-01' }, steps: [step], ...parse(fence) };
      expect(pipelineSchema.safeParse(file).error).toBeUndefined();
    }
    const all = parse(fences.find((fence) => fence.startsWith('fixes:'))!);
    const keys = ['fixes', 'allow_ad_hoc_sql', 'decide_within', 'notify'] as const;
    expect(Object.keys(all)).toEqual(keys);
    expect(Object.keys(all.fixes)).toEqual(Object.keys(pipelineSchema.shape.fixes.unwrap().shape));
    expect(Object.keys(all.decide_within)).toEqual(Object.keys(pipelineSchema.shape.decide_within.unwrap().shape));
  });

  it('shows every key of limits as the schema takes it', () => {
    const fence = /```yaml\n(budget_usd:[\s\S]*?)```/.exec(read('docs/pipelines.md'))![1]!;
    const file = { pipeline: 'a', partition: { every: '1d', start: '2025-07-01' }, ...parse(fence) };
    expect(pipelineSchema.safeParse(file).error).toBeUndefined();
    const all = ['runtime', 'bytes_billed', 'slot_hours', 'cost_usd', 'temp_tables', 'on_limit'];
    expect(Object.keys(parse(fence).steps[0].limits)).toEqual(all);
  });

  it.each(documents)('%s links only to what is there', (document) => {
    const links = [...read(document).matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1]!);
    for (const link of links) expect(() => readFileSync(path.join(ROOT, path.dirname(document), link))).not.toThrow();
    expect(read(document)).not.toMatch(/\/root\/|\/home\/|\/tmp\//);
  });

  it.each([
    ['talbots', 2],
    ['orders', 3],
  ])('ships %s, valid but for the Python environment, which setup makes', (name, steps) => {
    const { venv } = loadConfig({ ...process.env }, ROOT);
    expect(loadPipeline(path.join(ROOT, 'pipelines'), name, { defaultVenv: venv }).steps).toHaveLength(steps);
  });

  it('ships the backlog with its 74 chunks, the last one short', () => {
    const { venv } = loadConfig({ ...process.env }, ROOT);
    const backlog = loadPipeline(path.join(ROOT, 'pipelines'), 'backlog', { defaultVenv: venv });
    const chunks = partitionsOfRange(backlog, '2020-01-01', '2026-01-08');
    expect([chunks.length, chunks[0], chunks.at(-1)]).toEqual([74, '2020-01-01..2020-01-30', '2025-12-30..2026-01-08']);
    for (const name of Object.keys(backlog.vars)) expect(read('pipelines/backlog/README.md')).toContain(`\`${name}\``);
    const small = forVars(backlog, backlog.smoke!);
    expect(partitionsOfRange(small, small.calendar.start, small.calendar.end!)).toHaveLength(3);
  });
});
