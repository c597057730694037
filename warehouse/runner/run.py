"""What the worker starts inside a step's Python environment.

    run.py dagster-job --module crm_dagster --job talbots_crm_ingest --tags '{"dagster/partition":"2025-07-16"}'
    run.py warm dbt|dagster [what the process is for]
    run.py dbt-compile

The first carries out one run and ends; the second stays and is told by stdin what to run; the third compiles what stdin
asks for. README.md has them all.
"""

import os
import sys


def main() -> int:
    """Do what the command line says; returns the exit code."""
    mode, *arguments = sys.argv[1:] or [""]
    if mode == "dagster-job":
        from dayfill_runner.dagster_job import main as run_dagster_job

        return run_dagster_job(arguments)
    if mode == "warm":
        from dayfill_runner.warm import main as stay

        return stay(arguments)
    if mode == "dbt-compile":
        from dayfill_runner.dbt_compile import main as compile_each

        return compile_each()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Not sys.exit: it would wait for threads that a canceled run leaves behind.
    os._exit(code)
