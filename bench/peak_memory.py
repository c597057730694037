"""Runs the program and arguments that it is given and prints the most memory, in bytes, that it held."""

import resource
import subprocess
import sys

code = subprocess.call(sys.argv[1:], stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
