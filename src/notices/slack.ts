import type { NoticeText, Paragraph } from './text.js';

/** Slack's own limits, in characters after escaping, and in blocks of a message. */
const SECTION = 3000;
const HEADER = 150;
const MOST_BLOCKS = 50;
const WHOLE_TEXT = 30_000;

/** What a Slack-compatible webhook takes: blocks, and the same as `text` for those that know no blocks. */
export function slackMessage({ title, body }: NoticeText) {
  const parts = body.map((part) => mrkdwn(part));
  const sections = parts.map((text) => ({ type: 'section', text: { type: 'mrkdwn', text } }));
  const header = { type: 'header', text: { type: 'plain_text', text: escaped(title, HEADER) } };
  return {
    text: cutWhole([escaped(title, SECTION), ...parts], WHOLE_TEXT).join('\n\n'),
    blocks: [header, ...sections.slice(0, MOST_BLOCKS - 1)],
  };
}

function mrkdwn(part: Paragraph): string {
  if ('text' in part) return escaped(part.text, SECTION);
  // Backticks inside would end the block.
  return `\`\`\`\n${escaped(part.code.replaceAll('```', "'''"), SECTION - 8)}\n\`\`\``;
}

/** Escaped, so that no data becomes a mention or a link; cut between characters, not within what one was escaped to. */
function escaped(text: string, most: number): string {
  const units = [...text].map((char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[char] ?? char);
  if (units.reduce((length, unit) => length + unit.length, 0) <= most) return units.join('');
  let length = 1;
  const end = units.findIndex((unit) => {
    length += unit.length;
    return length > most;
  });
  return `${units.slice(0, end).join('')}…`;
}

/** The first parts that fit as a whole. */
function cutWhole(parts: string[], most: number): string[] {
  let length = 0;
  return parts.filter((part) => {
    length += part.length + 2;
    return length <= most;
  });
}
