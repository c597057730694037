import { writeFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * A server and a process worker; Prefect has no backfill, so that a flow calls a subflow for each day, as its own guides do.
 * The worker asks for runs every two seconds instead of ten.
 */
export const prefect = {
  packages: ['prefect==3.9.1'],
  environment: ({ dir, port }) => ({
    PREFECT_HOME: path.join(dir, 'prefect'),
    PREFECT_API_URL: `http://127.0.0.1:${port}/api`,
    PREFECT_SERVER_ANALYTICS_ENABLED: 'false',
    PREFECT_WORKER_QUERY_SECONDS: '2',
    DO_NOT_TRACK: '1',
  }),
  services: ({ port, run }) => [
    {
      argv: ['prefect', 'server', 'start', '--port', String(port)],
      isUp: () => fetch(`http://127.0.0.1:${port}/api/health`).then(({ ok }) => ok),
    },
    {
      argv: ['prefect', 'worker', 'start', '--pool', 'local', '--type', 'process'],
      isUp: () => run('prefect', 'work-pool', 'inspect', 'local').then(() => true),
    },
  ],
  async prepare({ dir, step, run }) {
    await writeFile(path.join(dir, 'flows.py'), flows(step));
    await run('prefect', '--no-prompt', 'deploy', 'flows.py:backfill', '--name', 'days', '--pool', 'local');
  },
  backfill: ({ run }, first, last) =>
    run('prefect', 'deployment', 'run', 'backfill/days', '--param', `first=${first}`, '--param', `last=${last}`),
};

const flows = (step) => `
import subprocess
from datetime import date, timedelta
from prefect import flow, task

@task(retries=2)
def step(day: str, name: str):
    subprocess.run([*${JSON.stringify(step)}, day, name], check=True)

@flow
def one_day(day: str):
    step(day, "first")
    step(day, "second")

@flow
def backfill(first: date, last: date):
    for offset in range((last - first).days + 1):
        one_day(str(first + timedelta(days=offset)))
`;
