import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Each step's output is in its own log already, and nothing is to be reported to anyone. */
const SETTINGS = `telemetry:
  enabled: false
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
`;

/** Makes the folder where Dagster keeps its event log, unless the environment names one; settings found there stay. */
export function prepareDagsterHome(stateDir: string): void {
  if (process.env.DAGSTER_HOME !== undefined) return;
  const home = path.join(stateDir, 'dagster');
  mkdirSync(home, { recursive: true });
  try {
    writeFileSync(path.join(home, 'dagster.yaml'), SETTINGS, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
