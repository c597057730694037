#!/bin/sh
# A step of the workload: step.sh <folder> <day> <step>. It says that it began, and takes three seconds where there is a file `slow`.
echo "$2 $3" >> "$1/began"
[ ! -e "$1/slow" ] || exec sleep 3
