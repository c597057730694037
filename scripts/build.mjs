/**
 * Compiles the TypeScript and bundles the workflows, so that a worker starts without a compiler. The result replaces
 * dist/ only when it is whole: a failed build leaves the last good one in place.
 */
import { spawnSync } from 'node:child_process';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const dist = path.join(root, 'dist');
const fresh = path.join(root, `dist.${process.pid}`);

const compiler = path.join(root, 'node_modules/typescript/bin/tsc');
const tsc = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--outDir', fresh], {
  cwd: root,
  stdio: 'inherit',
});
if (tsc.status !== 0) {
  rmSync(fresh, { recursive: true, force: true });
  process.exit(tsc.status ?? 1);
}
const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };
const { code } = await bundleWorkflowCode({
  workflowsPath: path.join(fresh, 'workflows/index.js'),
  logger: quiet,
  webpackConfigHook: (config) => ({ ...config, experiments: { ...config.experiments, deferImport: true } }),
});
writeFileSync(path.join(fresh, 'workflow-bundle.js'), code);
rmSync(dist, { recursive: true, force: true });
renameSync(fresh, dist);
