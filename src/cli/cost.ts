import { Command } from 'commander';
import { type CostReport, FIGURES, type Figure, pipelineCost, type StepCost } from '../client/cost.js';
import { FEWEST_PAST } from '../client/normal.js';
import { openClearLedger } from '../client/open.js';
import { checkKnown, openPipelines } from '../client/pipelines.js';
import { loadConfig } from '../config.js';
import { bytesText, dollarsText, slotText } from '../contracts/amounts.js';
import { checkDays, printJson } from './options.js';
import { table } from './tables.js';

const NAMES: Record<Figure, string> = { bytesBilled: 'billed', slotMs: 'slot time', costUsd: 'cost' };
const TEXTS: Record<Figure, (amount: number) => string> = {
  bytesBilled: bytesText,
  slotMs: slotText,
  costUsd: dollarsText,
};

/** `dayfill cost`: what each day and step took, and what of it is out of the ordinary. */
export function costCommand(): Command {
  return new Command('cost')
    .description('what each day and step cost: bytes, slot time, dollars; and what is out of the ordinary')
    .argument('<pipeline>', 'name of the pipeline')
    .option('--from <date>', 'first day, inclusive')
    .option('--to <date>', 'last day, inclusive')
    .option('--json', 'print one JSON document: {"pipeline","lines":[…],"steps":[…],"total":{…}}')
    .addHelpText(
      'after',
      `
A figure is out of the ordinary when it is further from the median of the step's runs before it than three standard
deviations (and a quarter of the median); that takes ${FEWEST_PAST} runs. "?" is what nobody told: it is in no total.

Example:
  dayfill cost order_items --from 2025-11-01 --to 2025-11-30`,
    )
    .action(async (pipeline: string, options: { from?: string; to?: string; json?: true }) => {
      const config = loadConfig();
      checkKnown(openPipelines(config), pipeline);
      checkDays(options);
      const report = await pipelineCost(openClearLedger(config), config.prices, pipeline, options);
      if (options.json) return printJson(report);
      if (report.lines.length === 0) return console.error(`The ledger has no steps of ${pipeline} for these days.`);
      console.log(text(report));
    });
}

function text({ lines, steps, total }: CostReport): string {
  const byDay = table(
    ['partition', 'step', 'status', ...FIGURES.map((figure) => NAMES[figure]), 'out of the ordinary'],
    lines.map((line) => [
      line.partition,
      line.step,
      line.status,
      ...FIGURES.map((figure) => amount(figure, line[figure])),
      unusual(line),
    ]),
  );
  const sums = [...steps, { step: 'all', runs: lines.length, ...total }];
  const byStep = table(
    ['step', 'runs', ...FIGURES.map((figure) => NAMES[figure])],
    sums.map((sum) => [
      sum.step,
      String(sum.runs),
      ...FIGURES.map((figure) => totalText(figure, sum.total[figure], sum.unknown[figure])),
    ]),
  );
  return `${byDay}\n${byStep}`;
}

function amount(figure: Figure, value: number | null): string {
  return value === null ? '?' : TEXTS[figure](value);
}

function totalText(figure: Figure, value: number | null, unknown: number): string {
  return value === null || unknown === 0 ? amount(figure, value) : `${amount(figure, value)} and ${unknown} × ?`;
}

/** `slot time is high: normally 11 slot-hours to 15 slot-hours` */
function unusual({ outliers, normal }: StepCost): string {
  return FIGURES.flatMap((figure) => {
    const band = normal[figure];
    if (outliers[figure] === undefined || band === null) return [];
    const [low, high] = [band.low, band.high].map(TEXTS[figure]);
    return [`${NAMES[figure]} is ${outliers[figure]}: normally ${low} to ${high}`];
  }).join('\n');
}
