/**
 * `npm run bench -- <name> [--json]`, or `peers <peer>` for one of them: runs one benchmark. Each prints its figures beside something
 * measured in the same run.
 */
import { backlog } from './backlog.mjs';
import { backlogYear } from './backlog-year.mjs';
import { identity } from './identity.mjs';
import { overhead } from './overhead.mjs';
import { overheadDay } from './overhead-day.mjs';
import { overheadPipelines } from './overhead-pipelines.mjs';
import { overheadRange } from './overhead-range.mjs';
import { PEERS, peers } from './peers.mjs';
import { processEvent } from './process-event.mjs';
import { recovery } from './recovery.mjs';
import { talbots } from './talbots.mjs';

const BENCHMARKS = {
  backlog,
  'backlog-year': backlogYear,
  overhead,
  'overhead-day': overheadDay,
  'overhead-range': overheadRange,
  'overhead-pipelines': overheadPipelines,
  identity,
  peers,
  'process-event': processEvent,
  recovery,
  talbots,
};

const [name, ...rest] = process.argv.slice(2);
const json = rest.includes('--json');
const only = rest.find((word) => word !== '--json');
const unknown = rest.filter((word) => word !== '--json' && !(name === 'peers' && word in PEERS));
if (BENCHMARKS[name] === undefined || unknown.length > 0) {
  console.error(`Usage: npm run bench -- ${Object.keys(BENCHMARKS).join('|')} [--json]
       npm run bench -- peers [${Object.keys(PEERS).join('|')}] [--json]`);
  process.exitCode = 2;
} else {
  const figures = await BENCHMARKS[name]({ log: json ? () => {} : console.log, only });
  if (json) console.log(JSON.stringify(figures));
}
