import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { isAlias, isMap, isScalar, LineCounter, type Node, parseDocument, visit } from 'yaml';
import type { z } from 'zod';
import { pipelineName } from '../contracts/backfill.js';
import { isFolder } from '../is-folder.js';
import { checkFile } from './checks.js';
import { definitionOf } from './define.js';
import type { PipelineDefinition } from './definition.js';
import { PipelineError, type PipelineProblem } from './errors.js';
import { type DocumentProblem, problemsOf, sentenceFor, withoutEchoes } from './messages.js';
import { pipelineSchema } from './schema.js';
import { checkWorld, shown } from './world.js';

export const FILE = 'pipeline.yaml';

/** What a pipeline would be with another text, and with files that are not written yet. */
export interface Draft {
  text: string;
  /** Absolute. */
  files: string[];
}

/**
 * Reads `<pipelinesDir>/<name>/pipeline.yaml`, checks it and everything it refers to, and fills in its defaults.
 * @param options `defaultVenv`: Python environment of the steps that name none; absolute. `draft`: what is checked in place
 * of the file.
 * @throws PipelineError with every problem found and its place.
 */
export function loadPipeline(
  pipelinesDir: string,
  name: string,
  { defaultVenv, draft }: { defaultVenv: string; draft?: Draft },
): PipelineDefinition {
  const dir = pipelineFolder(pipelinesDir, name);
  const file = path.join(dir, FILE);
  const { document, data } = parsePipeline(file, name, draft?.text ?? readFileSync(file, 'utf8'));
  const problems = checkWorld(data, dir, defaultVenv, draft?.files);
  if (problems.length > 0) throw document.error(problems);
  const sqlFile = data.freshness?.file;
  return definitionOf(data, dir, sqlFile && readFileSync(path.resolve(dir, sqlFile), 'utf8'));
}

interface ParsedPipeline {
  text: string;
  document: PipelineDocument;
  data: z.output<typeof pipelineSchema>;
}

/** The last good text of each file: a worker asks for every day, and a text that did not change is not parsed again. */
const lastParsed = new Map<string, ParsedPipeline>();

/** @throws PipelineError with everything that is wrong with the text by itself. */
function parsePipeline(file: string, name: string, text: string): ParsedPipeline {
  const last = lastParsed.get(file);
  if (last?.text === text) return last;
  const document = new PipelineDocument(file, text);
  const parsed = pipelineSchema.safeParse(document.value, { error: sentenceFor });
  if (!parsed.success) throw document.error(withoutEchoes(parsed.error.issues.flatMap((issue) => problemsOf(issue))));
  const problems = [...document.inexactNumbers(), ...checkFile(parsed.data, name)];
  if (problems.length > 0) throw document.error(problems);
  const pipeline = { text, document, data: parsed.data };
  lastParsed.set(file, pipeline);
  return pipeline;
}

/**
 * Names of the pipelines in a folder, sorted.
 * @throws PipelineError when there is no such folder.
 */
export function listPipelines(pipelinesDir: string): string[] {
  if (!isFolder(pipelinesDir)) {
    throw problemWith(pipelinesDir, 'there is no such folder; set DAYFILL_PIPELINES to where the pipelines are');
  }
  return readdirSync(pipelinesDir)
    .filter((name) => isFolder(path.join(pipelinesDir, name)))
    .filter((name) => statSync(path.join(pipelinesDir, name, FILE), { throwIfNoEntry: false })?.isFile())
    .sort();
}

function pipelineFolder(pipelinesDir: string, name: string): string {
  const plain = pipelineName.safeParse(name);
  if (!plain.success) throw problemWith(JSON.stringify(name), plain.error.issues[0]!.message);
  const known = listPipelines(pipelinesDir);
  if (known.includes(name)) return path.resolve(pipelinesDir, name);
  const others = known.length === 0 ? 'there are none' : `there is ${known.join(', ')}`;
  throw problemWith(
    shown(path.join(pipelinesDir, name, FILE)),
    `there is no pipeline ${JSON.stringify(name)}; ${others}`,
  );
}

function problemWith(file: string, message: string): PipelineError {
  return new PipelineError([{ file, line: null, column: null, path: '', message }]);
}

/** A parsed YAML file that knows where in it things stand. */
class PipelineDocument {
  readonly value: unknown;
  private readonly lines = new LineCounter();
  private readonly document;

  /** @throws PipelineError when the text is not YAML. */
  constructor(
    private readonly file: string,
    text: string,
  ) {
    this.document = parseDocument(text, { lineCounter: this.lines, prettyErrors: false });
    const faults = [...this.document.errors, ...this.document.warnings].map(({ message, pos }) => ({
      message,
      at: pos[0],
    }));
    visit(this.document, {
      Alias: (_, alias) => {
        if (alias.resolve(this.document) === undefined) {
          faults.push({ message: `nothing above is marked &${alias.source}`, at: alias.range?.[0] ?? 0 });
        }
      },
    });
    const [first, ...rest] = faults.map(({ message, at }) => this.problem([], `not YAML: ${message}`, at));
    if (first !== undefined) throw new PipelineError([first, ...rest]);
    try {
      this.value = this.document.toJS();
    } catch (error) {
      // Aliases within aliases can stand for more than memory holds; yaml refuses to unfold them.
      throw new PipelineError([this.problem([], `not usable: ${(error as Error).message}`, 0)]);
    }
  }

  error(problems: DocumentProblem[]): PipelineError {
    const [first, ...rest] = problems
      .map(({ path: place, message, onKey }) => this.problem(place, message, this.offset(place, onKey === true)))
      .sort((a, b) => a.line! - b.line! || a.column! - b.column!);
    return new PipelineError([first!, ...rest]);
  }

  /** Vars are text, and a number such as 007 or 1.10 would be another text after it was read as a number. */
  inexactNumbers(): DocumentProblem[] {
    const vars = this.document.get('vars');
    if (!isMap(vars)) return [];
    return vars.items.flatMap(({ key, value }) => {
      const name = String(key);
      const [node, place] = isMap(value)
        ? [value.get('default', true), ['vars', name, 'default']]
        : [value, ['vars', name]];
      if (!isScalar(node) || typeof node.value !== 'number' || node.source === String(node.value)) return [];
      return [{ path: place, message: `write it in quotes, "${node.source}", to keep every digit` }];
    });
  }

  private problem(place: DocumentProblem['path'], message: string, offset: number): PipelineProblem {
    const { line, col } = this.lines.linePos(offset);
    return { file: shown(this.file), line, column: col, path: place.join('.'), message };
  }

  /** Where the deepest part of a path that exists stands in the text; for `onKey` its name, not its value. */
  private offset(place: DocumentProblem['path'], onKey: boolean): number {
    let node: Node | null = this.document.contents;
    let offset = node?.range?.[0] ?? 0;
    for (const [index, part] of place.entries()) {
      if (isAlias(node)) node = node.resolve(this.document) ?? null;
      const pair = isMap(node) ? node.items.find((item) => String(item.key) === String(part)) : undefined;
      const next = pair === undefined ? (this.nodeAt(node, part) ?? null) : (pair.value as Node | null);
      if (pair !== undefined && (next === null || (onKey && index === place.length - 1))) {
        return (pair.key as Node).range?.[0] ?? offset;
      }
      if (next === null) return offset;
      offset = next.range?.[0] ?? offset;
      node = next;
    }
    return offset;
  }

  private nodeAt(node: Node | null, part: string | number): Node | undefined {
    return isMap(node) || node === null || !('get' in node)
      ? undefined
      : (node as { get(key: unknown, keep: true): Node }).get(part, true);
  }
}
