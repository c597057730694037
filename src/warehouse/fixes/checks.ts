/** Statement of a script that ends it, and rolls its transaction back, with a sentence of ours. @param message string expression. */
export function raiseIf(condition: string, message: string): string {
  return `if ${condition} then\n  raise using message = ${message};\nend if;`;
}

/** Our sentence with this ending, without what the warehouse puts around it; null for any other message. */
export function raisedReason(message: string, ending: string): string | null {
  const end = message.indexOf(ending);
  return end < 0 ? null : message.slice(0, end + ending.length).replace(/^Query error: /, '');
}
