"""Dagster definitions of the CRM ingestion."""

from dagster import Definitions

from .ingest_job import talbots_crm_ingest

defs = Definitions(jobs=[talbots_crm_ingest])
