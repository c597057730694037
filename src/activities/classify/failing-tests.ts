import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { FailingTest } from '../../contracts/fix.js';

/** The file of an attempt's folder that says what its failing tests are. */
export const FAILING_TESTS = 'failing-tests.json';
const MOST_TESTS = 20;
/** Longer SQL is left out: cut, it would mean something else. */
const MOST_SQL = 20_000;

const nodeSchema = z.object({
  name: z.string(),
  resource_type: z.string(),
  relation_name: z.string().nullish(),
  compiled_code: z.string().nullish(),
  column_name: z.string().nullish(),
  attached_node: z.string().nullish(),
  depends_on: z.object({ nodes: z.array(z.string()).default([]) }).prefault({}),
  config: z.object({ where: z.string().nullish() }).prefault({}),
  test_metadata: z
    .object({
      name: z.string(),
      /** The package of a test that is not dbt's own. */
      namespace: z.string().nullish(),
      kwargs: z.record(z.string(), z.json()).default({}),
    })
    .nullish(),
});
type Node = z.output<typeof nodeSchema>;
const manifestSchema = z.object({
  nodes: z.record(z.string(), nodeSchema),
  sources: z.record(z.string(), z.object({ relation_name: z.string().nullish() })),
});
type Manifest = z.output<typeof manifestSchema>;
const runResultsSchema = z.object({
  results: z.array(z.object({ unique_id: z.string(), compiled_code: z.string().nullish() })),
});

/**
 * What the failing tests of dbt builds say, from the manifest.json and run_results.json of the folder or of its
 * sub-folders; at most 20 of them. A test whose SQL is not known is left out.
 * @param names failing tests by name.
 * @throws when an artifact cannot be read.
 */
export async function failingTests(targetDir: string, names: readonly string[]): Promise<FailingTest[]> {
  const found: FailingTest[] = [];
  for (const directory of await targetsIn(targetDir)) found.push(...(await testsOf(directory, new Set(names))));
  return found.slice(0, MOST_TESTS);
}

/**
 * Writes what the failing tests say into the attempt's folder. What it cannot read or write is no failure of the step.
 * @returns the file relative to the state directory; null when nothing is known.
 */
export async function keepEvidence(
  stateDir: string,
  attemptDir: string,
  names: readonly string[],
): Promise<string | null> {
  if (names.length === 0) return null;
  try {
    const tests = await failingTests(attemptDir, names);
    if (tests.length === 0) return null;
    const file = path.join(attemptDir, FAILING_TESTS);
    await writeFile(file, JSON.stringify(tests));
    return path.relative(stateDir, file);
  } catch {
    return null;
  }
}

async function targetsIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const below = entries.filter((entry) => entry.isDirectory()).map(({ name }) => path.join(directory, name));
  const holding = await Promise.all(
    [directory, ...below.sort()].map(async (candidate) => {
      const names = await readdir(candidate);
      return names.includes('manifest.json') && names.includes('run_results.json') ? [candidate] : [];
    }),
  );
  return holding.flat();
}

async function testsOf(directory: string, names: Set<string>): Promise<FailingTest[]> {
  const read = async (file: string) => JSON.parse(await readFile(path.join(directory, file), 'utf8'));
  const manifest = manifestSchema.parse(await read('manifest.json'));
  const { results } = runResultsSchema.parse(await read('run_results.json'));
  const compiled = new Map(results.map(({ unique_id: id, compiled_code: code }) => [id, code]));
  const sqlOf = (id: string) => {
    const sql = compiled.get(id) ?? manifest.nodes[id]?.compiled_code ?? null;
    return sql === null || Buffer.byteLength(sql) > MOST_SQL ? null : sql.trim();
  };
  return results.flatMap(({ unique_id: id }) => {
    const node = manifest.nodes[id];
    const sql = sqlOf(id);
    if (node === undefined || node.resource_type !== 'test' || !names.has(node.name) || sql === null) return [];
    const tested = testedNode(node);
    return [
      {
        name: node.name,
        kind: kindOf(node),
        table: tested === null ? null : tableOf(manifest, tested),
        column: node.column_name?.replaceAll('`', '') ?? null,
        arguments: argumentsOf(manifest, node, tested),
        sql,
        modelSql: tested === null ? null : sqlOf(tested),
        sources: sourcesOf(manifest, tested === null ? node.depends_on.nodes : [tested]),
      },
    ];
  });
}

function kindOf({ test_metadata: generic }: Node): string | null {
  if (generic == null) return null;
  return generic.namespace == null ? generic.name : `${generic.namespace}.${generic.name}`;
}

/** What the test is attached to; for one of a source, or a singular one, the only thing that it reads. */
function testedNode(node: Node): string | null {
  const [only, ...more] = node.depends_on.nodes;
  return node.attached_node ?? (more.length === 0 ? (only ?? null) : null);
}

function tableOf({ nodes, sources }: Manifest, id: string): string | null {
  return (nodes[id] ?? sources[id])?.relation_name?.replaceAll('`', '') ?? null;
}

function argumentsOf(manifest: Manifest, node: Node, tested: string | null): FailingTest['arguments'] {
  const { column_name: _column, model: _model, ...rest } = node.test_metadata?.kwargs ?? {};
  if (node.config.where != null) rest.where = node.config.where;
  if (rest.to === undefined) return rest;
  // It stands there as Jinja: the table is the other one that the test reads, or the tested one itself.
  const [other = tested, ...more] = node.depends_on.nodes.filter((id) => id !== tested);
  return { ...rest, to: other === null || more.length > 0 ? null : tableOf(manifest, other) };
}

/** Tables of dbt sources that something is built from, by any number of steps; not one that the build makes as well. */
function sourcesOf(manifest: Manifest, from: string[]): string[] {
  const made = new Set(Object.values(manifest.nodes).map(({ relation_name: name }) => name?.replaceAll('`', '')));
  const seen = new Set<string>();
  const waiting = from.flatMap((id) => manifest.nodes[id]?.depends_on.nodes ?? []);
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (seen.has(id)) continue;
    seen.add(id);
    waiting.push(...(manifest.nodes[id]?.depends_on.nodes ?? []));
  }
  const tables = [...seen].filter((id) => manifest.sources[id] !== undefined).map((id) => tableOf(manifest, id));
  return [...new Set(tables)].filter((table) => table !== null && !made.has(table)).sort() as string[];
}
