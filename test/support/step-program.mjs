// What the steps of command-pipelines.ts run: `step-program.mjs <folder> <name> [<name of the step to mend>]`.
// Writes when it begins and ends to <folder>/log; goes by the files <name>.hold, <name>.fail and <name>.poison there.
import { appendFileSync, copyFileSync, existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';

const [folder, name, mended] = process.argv.slice(2);
const file = (end) => path.join(folder, `${name}.${end}`);
const say = (word) => appendFileSync(path.join(folder, 'log'), `${word} ${name} ${process.pid}\n`);

say('begin');
while (existsSync(file('hold'))) await setTimeout(10);
if (existsSync(file('poison'))) copyFileSync(file('poison'), path.join(folder, 'pipeline.yaml'));
if (existsSync(file('fail'))) {
  console.log(`${name} found the source locked by nobody`);
  process.exit(7);
}
if (mended !== undefined) rmSync(path.join(folder, `${mended}.fail`), { force: true });
say('end');
