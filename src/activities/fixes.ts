import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import type { FixActivities, FixSource } from '../contracts/activities.js';
import { BAD_INPUT } from '../contracts/failure.js';
import { MAX_FIX_SQL } from '../contracts/fix.js';
import type { Vars } from '../contracts/ids.js';
import { sha256Hex, variantName } from '../contracts/ids.js';
import { boundsOf } from '../pipeline/calendar.js';
import { canaryOf } from '../pipeline/canary.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { PartitionError, PipelineError } from '../pipeline/errors.js';
import { renderFix, renderFixRules } from '../pipeline/render.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import { checkFix } from '../warehouse/fixes/checked-fix.js';
import { FixRefused, type SqlGuard } from '../warehouse/fixes/guard.js';
import type { Ledger } from '../warehouse/ledger.js';

export interface FixDeps {
  /** Reads and checks a pipeline file as it is now. */
  loadPipeline(name: string, vars?: Vars): PipelineDefinition;
  clients: BigQueryClients;
  guard: SqlGuard;
  ledger: Ledger;
}

/** What a decision with SQL needs before it is taken: the text, the guard's word on it, and what healed others. */
export function fixActivities(deps: FixDeps): Pick<FixActivities, 'prepareFix' | 'findCanary'> {
  const { loadPipeline, ledger } = deps;
  return {
    prepareFix: (input, failure, source, { n, then, proposed }) =>
      refusing(async () => {
        const definition = loadPipeline(input.pipeline, input.vars);
        const rules = renderFixRules(definition, input.vars);
        const sql = textOf(definition, source, proposed);
        const partition = boundsOf(definition, input.partition);
        await checkFix(deps, { sql, rules, partition, tests: [], scratch: null });
        const sha256 = sha256Hex(sql);
        const tests = { evidence: failure.evidence, standsIn: then === 'continue' };
        const step = renderFix(failure.step, n, { sql, sha256 }, rules, tests);
        return { sql, sha256, file: 'file' in source ? source.file : null, step };
      }),

    findCanary: ({ pipeline, vars }, alike) =>
      refusing(async () => canaryOf(pipeline, await ledger.rows(variantName(pipeline, vars)), alike)),
  };
}

/** The SQL of a fix as it is now. */
function textOf(definition: PipelineDefinition, source: FixSource, proposed: boolean): string {
  if ('file' in source) return fileText(definition, source.file);
  if (!proposed && !definition.allowAdHocSql) {
    throw new PartitionError(
      `${definition.name} takes no SQL that is in no file: put it into fixes/, or set allow_ad_hoc_sql: true in its pipeline.yaml.`,
    );
  }
  return source.sql;
}

function fileText(definition: PipelineDefinition, file: string): string {
  const folder = path.join(definition.dir, 'fixes');
  let text: string;
  try {
    // A link may lead out of the folder though its name does not.
    const real = realpathSync(path.resolve(definition.dir, file));
    if (!real.startsWith(realpathSync(folder) + path.sep)) {
      throw new PartitionError(`${file} is not in the folder fixes/ of ${definition.name}: put it there.`);
    }
    text = readFileSync(real, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EISDIR' && code !== 'ENOTDIR') throw error;
    throw new PartitionError(
      `There is no file ${file} in the folder of ${definition.name}: name one such as fixes/x.sql.`,
    );
  }
  if (text.length > MAX_FIX_SQL) {
    throw new PartitionError(`${file} is longer than the ${MAX_FIX_SQL} characters that a fix may have.`);
  }
  return text;
}

/** What is refused fails at once with its sentence; anything else (an outage) is tried again. */
async function refusing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const refusals = [PartitionError, PipelineError, FixRefused];
    if (refusals.some((kind) => error instanceof kind)) {
      throw ApplicationFailure.nonRetryable((error as Error).message, BAD_INPUT);
    }
    throw error;
  }
}
