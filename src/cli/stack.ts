import { Command } from 'commander';
import { loadConfig } from '../config.js';
import { SERVICE_NAMES } from '../stack/service.js';
import { type ServiceStatus, stackDown, stackStatus, stackUp } from '../stack/stack.js';

const EXAMPLES = `
Examples:
  $ dayfill stack up                start Temporal, the BigQuery and storage emulators, and a worker
  $ dayfill stack up --no-worker    the same without a worker, to run one yourself: dayfill worker
  $ dayfill stack status --json
  $ dayfill stack down              stop them all; their data stays

What the environment already provides (TEMPORAL_ADDRESS, DAYFILL_BIGQUERY_ENDPOINT, DAYFILL_STORAGE_ENDPOINT) is not started.`;

/** `dayfill stack up|down|status`: the embedded stack. */
export function stackCommand(): Command {
  const stack = new Command('stack')
    .description('start, stop and look at the embedded stack')
    .addHelpText('after', EXAMPLES);
  stack
    .command('up')
    .description('start what is not up yet, and wait until it works')
    .option('--no-worker', 'start no worker')
    .action(async ({ worker }: { worker: boolean }) => up(worker));
  stack
    .command('down')
    .description('stop everything; the data stays')
    .action(() => stackDown({ config: loadConfig(), log: console.log }));
  stack
    .command('status')
    .description('what is up, and where')
    .option('--json', 'print one JSON document: {"services":[{"name","state","pid","address"}]}')
    .action(async (options: { json?: true }) => {
      const services = await stackStatus({ config: loadConfig() });
      if (options.json) console.log(JSON.stringify({ services }, null, 2));
      else for (const service of services) console.log(statusLine(service));
    });
  return stack;
}

async function up(worker: boolean): Promise<void> {
  const stopping = new AbortController();
  const stop = (signal: NodeJS.Signals) => {
    console.error('\nstopping what was started …');
    process.exitCode = signal === 'SIGINT' ? 130 : 143;
    stopping.abort();
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    const services = SERVICE_NAMES.filter((name) => worker || name !== 'worker');
    await stackUp({ config: loadConfig(), log: console.log, signal: stopping.signal, services });
    const { temporalUi } = loadConfig();
    if (temporalUi !== null) console.log(`Temporal Web UI: ${temporalUi}`);
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function statusLine({ name, state, pid, address }: ServiceStatus): string {
  const line = `${name.padEnd(12)}  ${state.padEnd(4)}  ${(address ?? '').padEnd(24)}  ${pid === null ? '' : `pid ${pid}`}`;
  return line.trimEnd();
}
