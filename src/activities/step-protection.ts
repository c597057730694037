import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StepWith } from '../pipeline/step-kinds.js';
import { type StepContext, StepError } from './step-activity.js';

const PLUGINS = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../warehouse/dbt_plugins');

/** A fact that warehouse/dbt_plugins tells, a JSON line each. */
type Fact = { refusal: string } | { built: string };
type ProcessKind = 'dagster/job' | 'dbt/build' | 'command';

/** Where the Python of a step's process looks for modules: the plugin comes first. */
export function pythonPath(env: Record<string, string>): string {
  return [PLUGINS, env.PYTHONPATH].filter((folder) => folder !== undefined && folder !== '').join(path.delimiter);
}

/** Keeps whatever dbt a step's process runs from replacing a protected table: the plugin that dbt finds, and its settings. */
export class StepProtection {
  private constructor(
    private readonly context: StepContext,
    private readonly report: string,
    /** What the process finds in its environment. */
    readonly env: Record<string, string>,
  ) {}

  static async open(context: StepContext): Promise<StepProtection> {
    const { protected: tables = [], protected_targets: targets = null } = context.with as StepWith<ProcessKind>;
    const report = path.join(context.deps.config.stateDir, context.log.path.replace(/^logs\//, 'runs-data/'));
    await mkdir(path.dirname(report), { recursive: true });
    const settings = { protected: tables, targets, known: await knownTables(context), report };
    return new StepProtection(context, report, {
      PYTHONPATH: pythonPath(context.env),
      DAYFILL_PROTECTION: JSON.stringify(settings),
    });
  }

  /**
   * Remembers the incremental tables that were built: they stay protected, whatever their model becomes.
   * @throws StepError of kind `pipeline` when the run was stopped before it could replace a protected table.
   */
  async settle(): Promise<void> {
    const facts = await this.facts();
    const built = facts.flatMap((fact) => ('built' in fact ? [fact.built] : []));
    if (built.length > 0) await this.context.deps.protectedTables.add(built);
    const refused = facts.find((fact) => 'refusal' in fact);
    if (refused !== undefined) throw new StepError('pipeline', refused.refusal);
  }

  async close(): Promise<void> {
    await rm(this.report, { force: true });
  }

  private async facts(): Promise<Fact[]> {
    if (!existsSync(this.report)) return [];
    const lines = (await readFile(this.report, 'utf8')).split('\n');
    return lines.flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Fact]));
  }
}

/** A command that needs no warehouse does not wait for one. */
async function knownTables({ deps, kind }: StepContext): Promise<string[]> {
  if (kind === 'command') return [];
  try {
    return await deps.protectedTables.list();
  } catch (error) {
    throw new StepError('transient', `The list of protected tables cannot be read: ${(error as Error).message}`);
  }
}
