import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PipelineError, type PipelineProblem } from '../../../src/pipeline/errors.js';
import { loadPipeline } from '../../../src/pipeline/load.js';

/** A pipeline file with most of what one can say; line numbers in the tests count from its first line. */
export const EXAMPLE = `pipeline: talbots
description: CRM ingestion, then identity resolution.
partition: { every: 1d, start: 2025-07-01 }
vars: { client: talbots, project_id: talbots-dev, location: US }
on_failure: wait
steps:
  - id: crm
    title: CRM ingestion
    uses: dagster/job
    with: { project: ../../warehouse/crm_dagster, module: crm_dagster, job: talbots_crm_ingest }
    timeout: 2h
    retry: { attempts: 3, initial: 30s }
    remedies:
      - id: dedupe
        when: { test: unique_key }
        run:
          - uses: bigquery/query
            with: { file: fixes/dedupe.sql }
          - uses: dbt/build
            with: { project: ../../warehouse/crm, target: oauth, vars: { client: "\${vars.client}", partition_key: "\${partition}" } }
        then: continue
  - id: identity
    uses: dbt/build
    with: { project: ../../warehouse/identity, vars: { refresh_date: 2020-01-01 } }
    remedies:
      - id: restore
        when: { test: conversion_id_not_present }
        run: [{ uses: bigquery/query, with: { file: fixes/restore.sql } }]
        then: retry
`;

/** The smallest file, to which tests add what they are about. */
export const SMALL = `pipeline: small
partition: { every: 1d, start: 2025-07-01 }
steps:
  - id: say
    uses: command
    with: { run: [echo, hello] }
`;

/** A temporary folder with `pipelines/`, the projects and virtual environment that the example needs. */
export class World {
  readonly root = mkdtempSync(path.join(tmpdir(), 'dayfill-pipeline-'));
  readonly pipelines = path.join(this.root, 'pipelines');
  readonly venv = path.join(this.root, 'venv');

  constructor() {
    for (const folder of ['warehouse/crm_dagster', 'warehouse/crm', 'warehouse/identity', 'pipelines']) {
      mkdirSync(path.join(this.root, folder), { recursive: true });
    }
    this.write('venv/bin/python', '');
    this.write('pipelines/talbots/fixes/dedupe.sql', 'select 1');
    this.write('pipelines/talbots/fixes/restore.sql', 'select 1');
  }

  write(file: string, text: string): void {
    const full = path.join(this.root, file);
    mkdirSync(path.dirname(full), { recursive: true });
    writeFileSync(full, text);
  }

  load(name: string, text: string) {
    this.write(`pipelines/${name}/pipeline.yaml`, text);
    return loadPipeline(this.pipelines, name, { defaultVenv: this.venv });
  }

  /** The problems of a file that must not load. */
  problems(name: string, text: string): readonly PipelineProblem[] {
    try {
      this.load(name, text);
    } catch (error) {
      if (error instanceof PipelineError) return error.problems;
      throw error;
    }
    throw new Error('the file loaded, though it should not');
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Replaces text that must be there, so that a test never changes nothing by mistake. */
export function changed(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`no ${JSON.stringify(from)} in the file`);
  return text.replace(from, () => to);
}
