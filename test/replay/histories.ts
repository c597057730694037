import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import proto, { type temporal } from '@temporalio/proto';

export const HISTORIES_DIR = path.resolve('test/replay/histories');

// The SDK's own historyToJSON needs the very protobufjs that its messages are made with, which an install may double.
const { History } = proto.temporal.api.history.v1;
type History = temporal.api.history.v1.IHistory;

/** A saved history: Temporal's own message, as plain JSON. */
export interface SavedHistory {
  /** File name without its ending: what happened in the run. */
  name: string;
  history: { events: HistoryEvent[] };
}

export type HistoryEvent = { eventType: string } & Record<string, unknown>;

/** Every saved history, by name. */
export function savedHistories(): SavedHistory[] {
  const files = readdirSync(HISTORIES_DIR).sort();
  return files.map((file) => ({
    name: path.basename(file, '.json'),
    history: JSON.parse(readFileSync(path.join(HISTORIES_DIR, file), 'utf8')),
  }));
}

/** Id of the workflow that a history is of. */
export function workflowIdOf({ events }: SavedHistory['history']): string {
  const started = events[0]!.workflowExecutionStartedEventAttributes as { workflowId: string };
  return started.workflowId;
}

/** The message again, for the replay. */
export function historyOf({ history }: SavedHistory): History {
  return History.fromObject(history);
}

/** Removes the histories that are there, but for those of older versions, before new ones are saved. */
export function clearHistories(): void {
  for (const { name } of savedHistories())
    if (!name.startsWith('older-')) rmSync(path.join(HISTORIES_DIR, `${name}.json`));
}

/**
 * Saves a history without what tells of the machine it was recorded on.
 * @param replacements texts of this machine, such as folders, and what stands for them
 */
export function saveHistory(name: string, history: History, replacements: ReadonlyMap<string, string>): void {
  const plain: unknown = History.toObject(History.fromObject(history), { enums: String, longs: String, bytes: String });
  const scrubbed = JSON.stringify(changedTexts(plain, replacements), null, 1);
  writeFileSync(path.join(HISTORIES_DIR, `${name}.json`), scrubbed + '\n');
}

/** Goes through all texts of a history, those in payloads too; who worked on it is left out. */
function changedTexts(value: unknown, replacements: ReadonlyMap<string, string>, field = ''): unknown {
  if (typeof value === 'string') {
    if (field === 'identity') return 'someone';
    if (field !== 'data') return replaced(value, replacements);
    return Buffer.from(replaced(Buffer.from(value, 'base64').toString(), replacements)).toString('base64');
  }
  if (Array.isArray(value)) return value.map((item) => changedTexts(item, replacements));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, changedTexts(item, replacements, name)]),
  );
}

function replaced(text: string, replacements: ReadonlyMap<string, string>): string {
  return [...replacements].reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

/** The texts of a history that people could read, those in payloads too. */
export function textsOf(value: unknown, field = ''): string[] {
  if (typeof value === 'string') return [field === 'data' ? Buffer.from(value, 'base64').toString() : value];
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([name, item]) => textsOf(item, name));
}
