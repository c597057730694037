"""Runs dbt and Dagster for the dayfill worker. A package of its own name, so that no module of a project is mistaken for one of these."""
