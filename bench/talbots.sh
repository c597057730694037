#!/usr/bin/env bash
# Talbots by hand: what an engineer runs for each day, cold commands one after another, with the fixes that are known.
#   talbots.sh <state dir> <day>…      needs the Python environment on PATH; prints "<day> <step> <seconds>" for each command
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
state=$1
shift

timed() { # timed <day> <step> <log> <command>…: as the command ends
  local day=$1 step=$2 log=$3 began ended=0
  shift 3
  began=$(date +%s.%N)
  "$@" >"$log" 2>&1 || ended=$?
  echo "$day $step $(echo "$(date +%s.%N) - $began" | bc)"
  return "$ended"
}
ingest() { cd "$here/warehouse/crm_dagster" && dagster job execute -m crm_dagster -j talbots_crm_ingest --tags "{\"dagster/partition\":\"$1\"}"; }
build_crm() {
  cd "$here/warehouse/crm"
  DBT_TARGET_PATH=$state/crm dbt build --target=oauth --profiles-dir=. --log-path "$state/crm" \
    --vars "{\"client\":\"talbots\",\"project_id\":\"talbots-og-map-dev\",\"partition_key\":\"$1\"}"
}
resolve() {
  cd "$here/warehouse/identity_resolution"
  DBT_TARGET_PATH=$state/identity dbt build --target=oauth --log-path "$state/identity" \
    --vars '{"programmatic_client":"talbots","project_id":"talbots-og-map-dev","refresh_date":"2020-01-01"}'
}
fix() { python "$here/bench/bq_query.py" "$2" <"$here/pipelines/talbots/fixes/$1"; }

for day in "$@"; do
  log=$state/$day.log
  if ! timed "$day" crm "$log" ingest "$day"; then
    grep -q 'Failure in test unique_talbots_raw_extraction_conversion_unique_key' "$log" || { cat "$log" >&2; exit 1; }
    timed "$day" fix "$log" fix fix_unique_talbots_raw_extraction_conversion_unique_key.sql "$day"
    timed "$day" build "$log" build_crm "$day"
  fi
  until timed "$day" identity "$log" resolve; do
    grep -q conversion_id_not_present "$log" || { cat "$log" >&2; exit 1; }
    timed "$day" fix "$log" fix fix_conversion_id_present.sql "$day"
  done
  echo "date $day ingestion all done"
done
