"""One JSON request on stdin, one JSON answer on stdout, or lists of both; README.md describes them."""

import json
import logging
import sys
import warnings

# sqlglot tells on stderr what it takes for a bare command; here that is a refusal.
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

from sql_guard.answer import answer  # noqa: E402

request = json.load(sys.stdin)
json.dump([answer(each) for each in request] if isinstance(request, list) else answer(request), sys.stdout)
