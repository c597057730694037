import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * API server, scheduler and DAG processor on SQLite with the local executor; one day at a time, two retries of a task. The scheduler
 * rests a tenth of a second instead of one when it finds nothing to do.
 */
export const airflow = {
  packages: ['apache-airflow==3.3.2'],
  environment: ({ dir, port }) => ({
    AIRFLOW_HOME: path.join(dir, 'airflow'),
    // SQLite gives up on a lock after five seconds otherwise, which two busy cores bring about.
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: `sqlite:///${path.join(dir, 'airflow', 'airflow.db')}?timeout=60`,
    AIRFLOW__CORE__DAGS_FOLDER: path.join(dir, 'dags'),
    AIRFLOW__CORE__LOAD_EXAMPLES: 'False',
    AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION: 'False',
    AIRFLOW__CORE__EXECUTOR: 'LocalExecutor',
    AIRFLOW__CORE__PARALLELISM: '2',
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL: `http://127.0.0.1:${port}/execution/`,
    AIRFLOW__API__PORT: String(port),
    AIRFLOW__API__WORKERS: '1',
    AIRFLOW__API__SECRET_KEY: 'bench',
    AIRFLOW__API_AUTH__JWT_SECRET: 'a secret of the benchmark, of no use elsewhere, long enough for its algorithm',
    AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME: '0.1',
    AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK: 'False',
  }),
  services: ({ port, run }) => [
    {
      argv: ['airflow', 'api-server'],
      isUp: () => fetch(`http://127.0.0.1:${port}/api/v2/monitor/health`).then(({ ok }) => ok),
    },
    { argv: ['airflow', 'scheduler'], isUp: async () => true },
    {
      argv: ['airflow', 'dag-processor'],
      isUp: async () => (await run('airflow', 'dags', 'list', '--output', 'json')).stdout.includes(dagOf('2025-03-01')),
    },
  ],
  async before({ dir, step, run }) {
    await mkdir(path.join(dir, 'dags'));
    await writeFile(path.join(dir, 'dags', 'days.py'), dag(step));
    await run('airflow', 'db', 'migrate');
  },
  backfill: ({ run }, first, last) =>
    run(
      ...['airflow', 'backfill', 'create', '--dag-id', dagOf(first), '--max-active-runs', '1'],
      ...['--from-date', first, '--to-date', last],
    ),
};

/** A DAG for each month: it has one backfill at a time, whose end is noticed up to half a minute late. */
const MONTHS = ['01', '02', '03'];
const dagOf = (day) => `days_${day.slice(5, 7)}`;

const dag = (step) => `
from datetime import datetime, timedelta
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

for month in ${JSON.stringify(MONTHS)}:
    with DAG(
        f"days_{month}",
        schedule="@daily",
        start_date=datetime(2025, 1, 1),
        end_date=datetime(2025, 12, 31),
        catchup=False,
        default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
    ):
        steps = [
            BashOperator(task_id=name, bash_command="${step.join(' ')} {{ ds }} " + name) for name in ("first", "second")
        ]
        steps[0] >> steps[1]
`;
