import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { loadConfig } from '../../src/config.js';

const PYTHON = path.join(loadConfig().venv, 'bin/python');
/** A shop of a few hundred rows a day, in lookups that cover forty days. */
const SMALL = {
  'lookups.num_customers': '200',
  'lookups.num_products': '50',
  'lookups.signup_start': '2019-12-20',
  'lookups.signup_end': '2020-01-28',
  'volumes.carts_per_day': '60',
  'volumes.return_percent': '30',
  'volumes.return_window': '5',
  min_free_disk: '0',
};

export interface IdState {
  last_cart_id: number;
  last_order_id: number;
  last_return_id: number;
  through: string;
  settings: string;
  settings_since: string;
}

/** What a command of the generator came to. */
export interface GeneratorOutcome {
  code: number | undefined;
  stdout: string;
  stderr: string;
  counts: Record<string, number>;
  idState: IdState;
}

/** `_MANIFEST.json`. */
export interface Manifest {
  table: string;
  partition: string;
  chunk: string;
  rows: number;
  bytes: number;
  key: string | null;
  min_key: number | null;
  max_key: number | null;
  schema: { name: string; type: string }[];
  schema_hash: string;
  files: { name: string; rows: number; bytes: number; sha256: string; md5: string; crc32c: string }[];
  source_run: string;
  generator_version: string;
  content_sha256: string;
  created: string;
}

/** What `verify --json` prints. */
export interface VerifyReport {
  ok: boolean;
  first: string;
  last: string;
  chunks: number;
  tables: { table: string; partitions: number; expectedPartitions: number | null; rows: number; bytes: number }[];
  checks: { check: string; problems: number }[];
  problems: {
    check: string;
    message: string;
    partition: string | null;
    file: string | null;
    chunk: string | null;
  }[];
  chunksToRunAgain: string[];
  objects: number;
  footprintBytes: number;
}

/** `python -m ecom_generator` with folders of its own under `root`. */
export class EcomGenerator {
  readonly artifacts: string;
  readonly raw: string;

  constructor(
    readonly root: string,
    private readonly settings: Record<string, string> = {},
  ) {
    this.artifacts = path.join(root, 'artifacts');
    this.raw = path.join(root, 'raw');
    mkdirSync(root, { recursive: true });
  }

  /** A shop in a folder beside this one, with its lookups or a whole copy of it. */
  beside(name: string, settings: Record<string, string> = {}, whole = false): EcomGenerator {
    const made = new EcomGenerator(path.join(path.dirname(this.root), name), settings);
    const folder = whole ? '' : 'artifacts/static_lookups';
    cpSync(path.join(this.root, folder), path.join(made.root, folder), { recursive: true });
    return made;
  }

  /** Starts a command with the settings and folders; `verify` takes neither. */
  start(args: string[], env: Record<string, string> = {}) {
    const sets = Object.entries({ ...SMALL, ...this.settings }).map(([name, value]) => `--set=${name}=${value}`);
    return this.python(
      [
        '-m',
        'ecom_generator',
        args[0]!,
        ...sets,
        `--artifact-root=${this.artifacts}`,
        `--target-root=${this.raw}`,
        ...args.slice(1),
      ],
      { DAYFILL_RESULT: this.resultFile, ...env },
    );
  }

  async run(args: string[], env: Record<string, string> = {}): Promise<GeneratorOutcome> {
    rmSync(this.resultFile, { force: true });
    const { exitCode, stdout, stderr } = await this.start(args, env);
    const result = exitCode === 0 ? JSON.parse(readFileSync(this.resultFile, 'utf8')) : {};
    return { code: exitCode, stdout, stderr, counts: result.counts ?? {}, idState: result.state?.id_state };
  }

  /** Like `run`, but a refusal is a failure of the test. */
  async succeed(args: string[], env: Record<string, string> = {}): Promise<GeneratorOutcome> {
    const outcome = await this.run(args, env);
    if (outcome.code !== 0)
      throw new Error(`ecom_generator ${args.join(' ')} ended with ${outcome.code}: ${outcome.stderr}`);
    return outcome;
  }

  /** Generates and exports chunks one after the other, each with the state of the one before; returns the states by chunk. */
  async chunks(list: [string, string][], first: IdState | null = null): Promise<GeneratorOutcome[]> {
    const outcomes: GeneratorOutcome[] = [];
    let state = first;
    for (const chunk of list) {
      const outcome = await this.generate(chunk, state);
      await this.succeed(['export', ...days(chunk)]);
      state = outcome.idState;
      outcomes.push(outcome);
    }
    return outcomes;
  }

  generate(chunk: [string, string], state: IdState | null): Promise<GeneratorOutcome> {
    return this.succeed(['generate', ...days(chunk), idStateFlag(state)]);
  }

  async verify(...args: string[]): Promise<{ code: number | undefined; report: VerifyReport }> {
    const { exitCode, stdout, stderr } = await this.python(
      ['-m', 'ecom_generator', 'verify', '--json', '--root', this.raw, ...args],
      {},
    );
    if (stdout === '') throw new Error(`verify printed nothing: ${stderr}`);
    return { code: exitCode, report: JSON.parse(stdout) };
  }

  /** Rows of a query over the Parquet files, which `{raw}` stands for the folder of. */
  async query<T>(sql: string): Promise<T[]> {
    const program =
      'import duckdb, sys; print(duckdb.sql("select to_json(list(t)) from (" + sys.argv[1] + ") as t").fetchone()[0])';
    const { stdout, stderr, exitCode } = await this.python(['-c', program, sql.replaceAll('{raw}', this.raw)], {});
    if (exitCode !== 0) throw new Error(stderr);
    return JSON.parse(stdout) ?? [];
  }

  manifest(partition: string): Manifest {
    return JSON.parse(readFileSync(path.join(this.raw, partition, '_MANIFEST.json'), 'utf8'));
  }

  /** Of each partition, what its manifest says is the same for the same rows. */
  checksums(): Record<string, string> {
    const manifests = readdirSync(this.raw, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('_MANIFEST.json'),
    );
    return Object.fromEntries(manifests.sort().map((name) => [name, this.manifest(path.dirname(name)).content_sha256]));
  }

  /** SHA-256 of each CSV file. */
  csvChecksums(): Record<string, string> {
    const files = readdirSync(this.artifacts, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.csv'),
    );
    return Object.fromEntries(files.sort().map((name) => [name, sha256(path.join(this.artifacts, name))]));
  }

  csv(chunk: [string, string], table: string): string {
    return path.join(this.artifacts, chunk.join('..'), `${table}.csv`);
  }

  private get resultFile(): string {
    return path.join(this.root, 'result.json');
  }

  private python(args: string[], env: Record<string, string>) {
    return execa(PYTHON, args, { cwd: path.resolve('warehouse'), env, reject: false, stdin: 'ignore' });
  }
}

export function days([from, to]: [string, string]): string[] {
  return ['--from', from, '--to', to];
}

export function idStateFlag(state: IdState | null): string {
  return `--id-state=${state === null ? '' : JSON.stringify(state)}`;
}

export function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
