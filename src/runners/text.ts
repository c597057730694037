/** The first `bytes` of a text in UTF-8, cut between characters and marked with "…" when something was left out. */
export function firstBytes(text: string, bytes: number): string {
  const all = Buffer.from(text);
  if (all.length <= bytes) return text;
  let end = bytes - 3;
  while (isContinuation(all[end])) end--;
  return `${all.toString('utf8', 0, end)}…`;
}

/** The last `bytes` of a text in UTF-8, cut between characters and marked with "…" when something was left out. */
export function lastBytes(text: string, bytes: number): string {
  const all = Buffer.from(text);
  if (all.length <= bytes) return text;
  let start = all.length - bytes + 3;
  while (isContinuation(all[start])) start++;
  return `…${all.toString('utf8', start)}`;
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0b1100_0000) === 0b1000_0000;
}
