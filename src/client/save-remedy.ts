import path from 'node:path';
import lockfile from 'proper-lockfile';
import type { LedgerRow } from '../contracts/ledger.js';
import { boundsOf } from '../pipeline/calendar.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { FILE, loadPipeline } from '../pipeline/load.js';
import { matchRemedies } from '../pipeline/match.js';
import { conditionOf, remedyIdFor } from '../pipeline/remedy-condition.js';
import { withRemedy } from '../pipeline/save-remedy.js';
import { identifier } from '../pipeline/scalars.js';
import { shown } from '../pipeline/world.js';
import type { Ledger } from '../warehouse/ledger.js';
import { StateError, UsageError } from './errors.js';
import { type Healing, healedBy, healingsOf } from './healed-by.js';
import { type PipelineFiles, plainName } from './pipelines.js';
import { readText, type SqlFile, sqlFile, unifiedDiff, writeRemedy, type YamlFile } from './remedy-files.js';

const LOCK_FILE = `${FILE}.lock`;
/** Two that save at once take turns; one that was killed keeps the next waiting for as long. */
const LOCK = { stale: 5000, retries: { retries: 60, factor: 1, minTimeout: 100, maxTimeout: 200 } };

/** A remedy that was, or would be, added to a pipeline file. */
export interface SavedRemedy {
  pipeline: string;
  remedy: string;
  /** Its SQL, relative to the pipeline's folder. */
  file: string;
  /** Unified diff of every file that changes. */
  diff: string;
  written: boolean;
}

/**
 * Makes a remedy of the SQL that healed a partition, in the pipeline file and its SQL file. Nothing is written unless the
 * pipeline loads with it and the remedy matches the failure.
 * @param options `id`: of the remedy, by default the name of the failing test. `dryRun`: only the diff.
 * @throws UsageError for an id that cannot be, StateError when there is nothing to save or something is in the way.
 */
export async function saveRemedy(
  files: PipelineFiles,
  ledger: Ledger,
  pipeline: string,
  partition: string,
  { id, dryRun }: { id?: string | undefined; dryRun: boolean },
): Promise<SavedRemedy> {
  if (id !== undefined) checkId(id);
  const definition = files.pipeline(plainName(pipeline));
  const { start, end } = boundsOf(definition, partition);
  const rows = (await ledger.rows(pipeline, start, end)).filter((row) => row.partition === partition);
  const healings = healingsOf(rows);
  if (healings.length === 0) throw new StateError(nothingToSave(pipeline, partition, rows.at(-1)));
  const saved = ({ remedy, sql, diff }: Changes) => ({ pipeline, remedy, file: sql.file, diff, written: !dryRun });
  if (dryRun) return saved(changesFor(files, definition, healings, id));
  const release = await lockfile.lock(definition.dir, { ...LOCK, lockfilePath: path.join(definition.dir, LOCK_FILE) });
  try {
    const changes = changesFor(files, definition, healings, id);
    writeRemedy(changes.yaml, changes.sql);
    return saved(changes);
  } finally {
    await release();
  }
}

function nothingToSave(pipeline: string, partition: string, last: LedgerRow | undefined): string {
  const which = `${partition} of ${pipeline}`;
  if (last === undefined) return `The ledger has no row of ${which}: a remedy is made of what healed a partition.`;
  if (last.status !== 'fixed')
    return `${which} is ${last.status}, not fixed: a remedy is made of what healed a partition.`;
  return `${which} was not healed by SQL but by ${healedBy(last)}: there is nothing to save.`;
}

/** What a save comes to, not yet written. */
interface Changes {
  remedy: string;
  yaml: YamlFile;
  sql: SqlFile;
  diff: string;
}

function changesFor(
  { config }: PipelineFiles,
  { name, dir }: PipelineDefinition,
  healings: Healing[],
  id: string | undefined,
): Changes {
  const yaml = path.join(dir, FILE);
  const before = readText(yaml);
  const load = (text: string, files: string[]) =>
    loadPipeline(config.pipelinesDir, name, { defaultVenv: config.venv, draft: { text, files } });
  const definition = load(before, []);
  const healing = unmatched(definition, healings);
  const { failure, afterwards } = healing;
  const step = definition.steps.find((candidate) => candidate.id === failure.step);
  if (step === undefined)
    throw new StateError(`${shown(yaml)} no longer has the step ${failure.step} that was healed.`);
  const taken = definition.steps.flatMap(({ remedies }) => remedies.map((other) => other.id));
  if (id !== undefined && taken.includes(id))
    throw new UsageError(`${name} has a remedy ${id} already: choose another.`);
  const remedy = id ?? remedyIdFor(failure, taken);
  const when = conditionOf(failure);
  if (when === null) {
    throw new StateError(
      `The failure of ${step.id} is ${failure.tests.length} tests at once, which no single condition tells from others: write its remedy by hand.`,
    );
  }
  const sql = sqlFile(dir, healing, remedy);
  const withAfterFix = afterwards === 'retry' && step.afterFix.length > 0;
  const then = withAfterFix ? 'continue' : afterwards;
  const after = withRemedy(before, step.id, { id: remedy, when, file: sql.file, withAfterFix, then });
  if (after === null) {
    throw new StateError(
      `Nothing can be added to the step ${step.id} in ${shown(yaml)} without changing the rest, as where an alias shares its remedies: write the remedy by hand.`,
    );
  }
  const matching = matchRemedies(load(after, [sql.path]), step.id, failure, {}) ?? [];
  if (!matching.some((match) => match.id === remedy)) {
    throw new StateError(`A remedy made of the failure of ${step.id} would not match it: write it by hand.`);
  }
  const diff = [
    unifiedDiff(yaml, before, after),
    ...(sql.text === null ? [] : [unifiedDiff(sql.path, null, sql.text)]),
  ].join('');
  return { remedy, yaml: { path: yaml, before, after }, sql, diff };
}

/** The last healing of a failure that no remedy covers yet. */
function unmatched(definition: PipelineDefinition, healings: Healing[]): Healing {
  const matches = healings.map(({ failure }) => matchRemedies(definition, failure.step, failure, {}));
  const index = matches.lastIndexOf(null);
  if (index >= 0) return healings[index]!;
  const ids = matches
    .at(-1)!
    .map(({ id }) => id)
    .join(' and ');
  throw new StateError(
    `${definition.name} has a remedy for this failure already: ${ids}. Change that one if it did not help.`,
  );
}

function checkId(id: string): void {
  const parsed = identifier.safeParse(id);
  if (!parsed.success)
    throw new UsageError(`${JSON.stringify(id)} cannot be an id: ${parsed.error.issues[0]!.message}.`);
}
