"""Runs the program and arguments that it is given and prints the most memory, in bytes, and the processor time, in seconds, that it took."""

import json
import resource
import subprocess
import sys

code = subprocess.call(sys.argv[1:], stdout=sys.stderr)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"peakBytes": usage.ru_maxrss * 1024, "cpuSeconds": usage.ru_utime + usage.ru_stime}))
sys.exit(code)
