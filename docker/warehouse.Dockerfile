# The emulators: warehouse/requirements.lock and our launchers. Which one runs is said by the command.
FROM python:3.11.13-slim-bookworm

WORKDIR /app
COPY warehouse/requirements.lock warehouse/
RUN pip install --no-cache-dir --require-hashes --requirement warehouse/requirements.lock
COPY warehouse/emulators warehouse/emulators

# Volumes take over the owner of the folder that they are mounted on.
RUN useradd --create-home dayfill && install --directory --owner=dayfill /data /data/bigquery /data/storage
USER dayfill
