/** What BigQuery allows as a label's value: at most 63 of lower-case letters, digits, "-" and "_". */
export function labelValue(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '-')
    .slice(0, 63);
}
