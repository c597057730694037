"""`bq query` for a warehouse that may be an emulator: runs the SQL of stdin, with @partition bound to the day of the command line."""

import os
import sys
from datetime import date

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

endpoint = os.environ.get("DAYFILL_BIGQUERY_ENDPOINT")
emulator = {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": endpoint}} if endpoint else {}
client = bigquery.Client(project="talbots-og-map-dev", location="US", **emulator)
day = bigquery.ScalarQueryParameter("partition", "DATE", date.fromisoformat(sys.argv[1]))
client.query_and_wait(sys.stdin.read(), job_config=bigquery.QueryJobConfig(query_parameters=[day]))
print("ERROR=0")
