/** `npm run bench -- <name> [--json]`: runs one benchmark. Each prints its figures beside something measured in the same run. */
import { backlog } from './backlog.mjs';
import { backlogYear } from './backlog-year.mjs';
import { identity } from './identity.mjs';
import { overhead } from './overhead.mjs';
import { processEvent } from './process-event.mjs';
import { recovery } from './recovery.mjs';
import { talbots } from './talbots.mjs';

const BENCHMARKS = {
  backlog,
  'backlog-year': backlogYear,
  overhead,
  identity,
  'process-event': processEvent,
  recovery,
  talbots,
};

const [name, ...flags] = process.argv.slice(2);
const unknown = flags.filter((flag) => flag !== '--json');
if (BENCHMARKS[name] === undefined || unknown.length > 0) {
  console.error(`Usage: npm run bench -- ${Object.keys(BENCHMARKS).join('|')} [--json]`);
  process.exitCode = 2;
} else {
  const json = flags.includes('--json');
  const figures = await BENCHMARKS[name]({ log: json ? () => {} : console.log });
  if (json) console.log(JSON.stringify(figures));
}
