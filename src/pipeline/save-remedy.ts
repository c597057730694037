import {
  Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  parseDocument,
  stringify,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { WrittenCondition } from './remedy-condition.js';

/** Nothing is folded, and an alias may refer to the rest of the file. */
const PLAIN_STYLE = { lineWidth: 0, singleQuote: true, verifyAliasOrder: false } as const;

/** A remedy to be added to a pipeline file. */
export interface NewRemedy {
  id: string;
  when: WrittenCondition;
  /** Its SQL, relative to the pipeline's folder. */
  file: string;
  /** Whether the step's `after_fix` is run behind the SQL. */
  withAfterFix: boolean;
  then: 'retry' | 'continue';
}

/**
 * The text of a pipeline file with a remedy added to a step, last in its list. Every other character stays as it is.
 * @param text a file that loads.
 * @returns null when it cannot be added without changing anything else, as where two steps share a list by an alias.
 */
export function withRemedy(text: string, stepId: string, remedy: NewRemedy): string | null {
  const document = parseDocument(text);
  const steps = document.get('steps');
  const step = isSeq(steps) ? steps.items.find((item) => isMap(item) && item.get('id') === stepId) : undefined;
  if (!isMap(step)) return null;
  const indentSeq = column(text, steps as Node) > 0;
  const { id, when, file, then } = remedy;
  const fix = { uses: 'bigquery/query', with: { file } };
  for (const works of remedy.withAfterFix ? afterFixOf(document, step) : [[]]) {
    const value = { id, when, run: [fix, ...works.map((work): unknown => work.toJS(document))], then };
    const node = new Document({ id, when, run: [fix, ...works], then });
    for (const place of [['when'], ['run', 0, 'with']]) (node.getIn(place) as YAMLMap).flow = true;
    const added = insert(text, step, { value, node: node.contents!, indentSeq });
    if (added !== null && onlyAdds(document, added, stepId, value)) return added;
  }
  return null;
}

/** A remedy as values, and as YAML that keeps comments, quotes and aliases. */
interface Entry {
  value: Record<string, unknown>;
  node: Node;
  /** Whether the file indents the lists below their keys. */
  indentSeq: boolean;
}

function insert(text: string, step: YAMLMap, entry: Entry): string | null {
  const pair = step.items.find(({ key }) => isScalar(key) && key.value === 'remedies');
  const asFlow = () =>
    stringify(entry.value, { ...PLAIN_STYLE, aliasDuplicateObjects: false, collectionStyle: 'flow' }).trimEnd();
  const asBlock = (indent: number, underKey: boolean) => blockLines(entry, indent, underKey);
  if (pair === undefined) {
    if (step.flow === true) return spliced(text, lastEnd(lastIn(step)), `, remedies: [${asFlow()}]`);
    return withLines(text, lastEnd(step), asBlock(column(text, step.items[0]!.key as Node), true));
  }
  const list = pair.value;
  if (!isSeq(list)) return null;
  const [start, end] = list.range!;
  if (list.flow !== true) return withLines(text, lastEnd(list), asBlock(column(text, list), false));
  if (list.items.length > 0) return spliced(text, lastEnd(lastIn(list)), `, ${asFlow()}`);
  if (step.flow === true || list.anchor !== undefined || !/^\[\s*\]$/.test(text.slice(start, end))) {
    return spliced(text, start + 1, asFlow());
  }
  const key = (pair.key as Node).range![1];
  const colon = text.indexOf(':', key) + 1;
  const bare = text.slice(0, colon) + text.slice(end);
  const [, ...lines] = asBlock(column(text, pair.key as Node), true);
  return withLines(bare, colon, lines);
}

function spliced(text: string, at: number, more: string): string {
  return text.slice(0, at) + more + text.slice(at);
}

/** Puts whole lines below the one that `end` is in, with the line ends that the file has there. */
function withLines(text: string, end: number, lines: string[]): string {
  const newline = text[end - 1] === '\n' ? end - 1 : text.indexOf('\n', end);
  const isLast = newline < 0;
  const eol = text[(isLast ? text.indexOf('\n') : newline) - 1] === '\r' ? '\r\n' : '\n';
  const block = lines.join(eol);
  return isLast ? text + eol + block : spliced(text, newline + 1, block + eol);
}

function blockLines({ node, indentSeq }: Entry, indent: number, underKey: boolean): string[] {
  const whole = new Document(underKey ? { remedies: [node] } : [node]);
  return whole
    .toString({ ...PLAIN_STYLE, indentSeq })
    .split('\n')
    .slice(0, -1)
    .map((line) => (line === '' ? '' : ' '.repeat(indent) + line));
}

/** The works of a step's `after_fix` with their comments and quotes: first with their aliases, then with what those stand for. */
function afterFixOf(document: Document, step: YAMLMap): Node[][] {
  const given = step.get('after_fix', true) as Node | undefined;
  const list = isAlias(given) ? given.resolve(document) : given;
  const items = isSeq(list) ? (list.items as Node[]) : [];
  const copies = items.map((item) => item.clone() as Node);
  for (const copy of copies) visit(copy, { Value: (_, node) => void delete node.anchor });
  const filledIn = items.map((item) => document.createNode(item.toJS(document), { aliasDuplicateObjects: false }));
  return [copies, filledIn];
}

/** Whether a text says what the document says, and that the step has this remedy more. */
function onlyAdds(document: Document, text: string, stepId: string, remedy: unknown): boolean {
  const after = parseDocument(text);
  if (after.errors.length > 0 || after.warnings.length > 0) return false;
  const expected = structuredClone(document.toJS()) as { steps: { id: string; remedies?: unknown[] }[] };
  // Lists that the file shares by an alias are one object in the clone as well.
  const step = expected.steps.find(({ id }) => id === stepId)!;
  step.remedies = [...(step.remedies ?? []), remedy];
  try {
    return JSON.stringify(after.toJS()) === JSON.stringify(expected);
  } catch {
    return false; // an alias to what stands further below
  }
}

/** Where the last thing in a node ends, without what a comment or a line end adds. */
function lastEnd(node: Node): number {
  if ((isMap(node) || isSeq(node)) && node.flow !== true) return lastEnd(lastIn(node));
  return node.range![1];
}

/** The last value of a map, or the last item of a list. */
function lastIn(node: YAMLMap | YAMLSeq): Node {
  if (isSeq(node)) return node.items.at(-1) as Node;
  const { key, value } = node.items.at(-1)!;
  return (value ?? key) as Node;
}

function column(text: string, node: Node): number {
  const start = node.range![0];
  return start - (text.lastIndexOf('\n', start - 1) + 1);
}
