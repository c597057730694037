import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';

const PROGRAM = path.resolve('bin/dayfill.js');

/** What one command line came to. */
export interface Outcome {
  code: number | undefined;
  stdout: string;
  stderr: string;
}

/** The real command line, in the environment of a stack. */
export class CommandLine {
  constructor(private readonly env: Record<string, string>) {}

  /** Runs it to its end; no shell, no terminal. */
  async run(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
    const { exitCode, stdout, stderr } = await this.start(args, env);
    return { code: exitCode, stdout: String(stdout), stderr: String(stderr) };
  }

  /** Starts it and leaves it running. */
  start(args: string[], env: Record<string, string> = {}) {
    return execa(process.execPath, [PROGRAM, ...args], {
      env: { ...this.env, ...env },
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
    });
  }

  /** The one JSON document that stdout is. */
  async json<T>(args: string[]): Promise<T> {
    const { stdout, stderr } = await this.run([...args, '--json']);
    try {
      return JSON.parse(stdout) as T;
    } catch {
      throw new Error(`dayfill ${args.join(' ')} printed no JSON document: ${stdout}${stderr}`);
    }
  }
}

/** Writes `<folder>/<name>/pipeline.yaml`. */
export function writePipeline(folder: string, name: string, text: string): void {
  mkdirSync(path.join(folder, name), { recursive: true });
  writeFileSync(path.join(folder, name, 'pipeline.yaml'), text);
}
