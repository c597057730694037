import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * Code server, webserver and daemon on SQLite; one run at a time, with run monitoring and run retries. The queue is looked at every
 * second instead of every five, and both ops of a run share its process.
 */
export const dagster = {
  packages: ['dagster==1.13.27', 'dagster-webserver==1.13.27'],
  environment: ({ dir }) => ({ DAGSTER_HOME: path.join(dir, 'dagster') }),
  services: ({ port, ports: [codePort], run }) => [
    {
      argv: ['dagster', 'code-server', 'start', '--python-file', 'days.py', '--port', String(codePort)],
      isUp: () => run('dagster', 'job', 'list', '--workspace', 'workspace.yaml').then(() => true),
    },
    {
      argv: ['dagster-webserver', '--workspace', 'workspace.yaml', '--port', String(port)],
      isUp: () => fetch(`http://127.0.0.1:${port}/server_info`).then(({ ok }) => ok),
    },
    { argv: ['dagster-daemon', 'run', '--workspace', 'workspace.yaml'], isUp: async () => true },
  ],
  async before({ dir, step, ports: [codePort] }) {
    await mkdir(path.join(dir, 'dagster'));
    await writeFile(path.join(dir, 'dagster', 'dagster.yaml'), INSTANCE);
    await writeFile(
      path.join(dir, 'workspace.yaml'),
      `load_from: [{ grpc_server: { host: localhost, port: ${codePort} } }]\n`,
    );
    await writeFile(path.join(dir, 'days.py'), definitions(step));
  },
  backfill: ({ run }, first, last) =>
    run(
      ...['dagster', 'job', 'backfill', '--workspace', 'workspace.yaml', '--job', 'day', '--noprompt'],
      ...['--from', first, '--to', last],
    ),
};

const INSTANCE = `
telemetry: { enabled: false }
run_queue: { max_concurrent_runs: 1, dequeue_interval_seconds: 1 }
run_monitoring: { enabled: true }
run_retries: { enabled: true, max_retries: 3 }
`;

const definitions = (step) => `
import subprocess
from dagster import DailyPartitionsDefinition, Definitions, In, Nothing, in_process_executor, job, op

@op
def first(context):
    subprocess.run([*${JSON.stringify(step)}, context.partition_key, "first"], check=True)

@op(ins={"after": In(Nothing)})
def second(context):
    subprocess.run([*${JSON.stringify(step)}, context.partition_key, "second"], check=True)

@job(partitions_def=DailyPartitionsDefinition("2025-01-01", end_date="2025-12-31"), executor_def=in_process_executor)
def day():
    second(after=first())

defs = Definitions(jobs=[day])
`;
