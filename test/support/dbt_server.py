"""dbt without its start-up: reads a command a line from stdin (a JSON list), answers with a line on stdout (JSON).

The manifest of equal options is parsed once. dbt's own output goes to stderr.
"""

import json
import os

from dbt.cli.main import dbtRunner

# What dbt starts may read from stdin and write to stdout: these are for commands and answers only.
commands = os.fdopen(os.dup(0))
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)
manifests = {}
for line in commands:
    command, options = json.loads(line)
    key = json.dumps(options)
    if key not in manifests:
        manifests[key] = dbtRunner().invoke(["parse", *options]).result
    outcome = dbtRunner(manifest=manifests[key]).invoke([*command, *options])
    results = getattr(outcome.result, "results", [])
    answers.write(
        json.dumps(
            {
                "success": outcome.success,
                "failures": [f"{result.node.name}: {result.message}" for result in results if result.status in ("error", "fail")]
                + ([str(outcome.exception)] if outcome.exception else []),
                "seconds": {result.node.name: result.execution_time for result in results},
            }
        )
        + "\n"
    )
