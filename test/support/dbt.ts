import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** dbt in a process that stays, one command at a time. */
export interface WarmDbt {
  /** Runs a command and gives the seconds of each node. Equal options are parsed once. */
  invoke(command: string[], options: string[]): Promise<Record<string, number>>;
  stop(): Promise<void>;
}

/**
 * @param project a dbt project's folder in warehouse/
 * @param directory where dbt may write; it is made
 */
export function startDbt(project: string, venv: string, directory: string, env: NodeJS.ProcessEnv): WarmDbt {
  mkdirSync(directory);
  const child: ChildProcess = spawn(path.join(venv, 'bin/python'), [path.resolve('test/support/dbt_server.py')], {
    cwd: path.resolve('warehouse', project),
    env: { ...env, DBT_TARGET_PATH: directory, DBT_LOG_PATH: directory },
    stdio: ['pipe', 'pipe', openSync(path.join(directory, 'output.log'), 'w')],
  });
  const answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  let free: Promise<unknown> = Promise.resolve();
  async function next(command: string[], options: string[]): Promise<Record<string, number>> {
    child.stdin!.write(`${JSON.stringify([command, options])}\n`);
    const { value, done } = await answers.next();
    if (done) throw new Error('dbt is gone');
    const { success, failures, seconds } = JSON.parse(value);
    if (!success) throw new Error(failures.join('\n'));
    return seconds;
  }
  return {
    invoke(command: string[], options: string[]) {
      const answer = free.then(() => next(command, options));
      free = answer.catch(() => {});
      return answer;
    },
    async stop() {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}
