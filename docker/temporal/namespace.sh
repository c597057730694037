#!/bin/sh
# Makes the namespace and dayfill's search attributes where they are missing. Connection: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE.
set -eu

# A server that has just started, or just learnt of a namespace, refuses for some seconds.
patiently() {
  attempts=60
  until "$@"; do
    attempts=$((attempts - 1))
    if [ "$attempts" -eq 0 ]; then
      echo "Gave up after a minute: $*" >&2
      exit 1
    fi
    sleep 1
  done
}

patiently temporal operator cluster health
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 30d

for name in DayfillPipeline DayfillPartition DayfillStatus DayfillStep; do
  patiently temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$name" --type Keyword
done
