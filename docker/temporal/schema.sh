#!/bin/sh
# Makes Temporal's two Postgres databases and updates their tables. Harmless when run again. Connection: SQL_* variables.
set -eu

schemas=/etc/temporal/schema/postgresql/v12

prepare() {
  database=$1
  versions=$2
  temporal-sql-tool --database "$database" create-database
  temporal-sql-tool --database "$database" setup-schema --version 0.0
  temporal-sql-tool --database "$database" update-schema --schema-dir "$versions"
}

prepare temporal "$schemas/temporal/versioned"
prepare temporal_visibility "$schemas/visibility/versioned"
