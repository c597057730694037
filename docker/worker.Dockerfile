# The worker: the built TypeScript, and the Python environment in which Dagster and dbt run.
FROM node:20.19.5-bookworm-slim AS build

WORKDIR /app
COPY package.json package-lock.json ./
# Not `npm ci`, which refuses a lock made on another platform; the versions are the locked ones either way.
RUN npm install --no-save --no-audit --no-fund
COPY scripts scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --no-save

FROM node:20.19.5-bookworm-slim

RUN apt-get update \
  && apt-get install --yes --no-install-recommends python3 python3-venv \
  && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY warehouse/requirements.lock warehouse/
RUN python3 -m venv /opt/venv \
  && /opt/venv/bin/pip install --no-cache-dir --require-hashes --requirement warehouse/requirements.lock
COPY package.json ./
COPY bin bin
COPY warehouse warehouse
COPY pipelines pipelines
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist

# dbt writes beside its projects; volumes take over the owner of the folder that they are mounted on.
RUN chown -R node /app/warehouse && install --directory --owner=node /data /data/state
USER node
CMD ["node", "dist/worker.js"]
