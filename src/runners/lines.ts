import type { Readable } from 'node:stream';

/** A longer line is cut, so that output without line breaks cannot fill the memory. */
const LONGEST_LINE = 1024 * 1024;

/** Calls `take` with each line of the stream until it ends, without line breaks; waits for `drained` now and then. */
export async function eachLine(
  stream: Readable,
  take: (line: string) => void,
  drained: () => Promise<void> | undefined,
): Promise<void> {
  const takeWhole = (line: string) => take(line.endsWith('\r') ? line.slice(0, -1) : line);
  let rest = '';
  for await (const chunk of stream.setEncoding('utf8')) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    lines.forEach(takeWhole);
    if (rest.length > LONGEST_LINE) {
      takeWhole(rest);
      rest = '';
    }
    await drained();
  }
  if (rest !== '') takeWhole(rest);
}
