import type { Notice } from '../contracts/notice.js';
import type { NotifyTarget } from '../pipeline/definition.js';
import { sendEmail } from './email.js';
import { presentable } from './presentable.js';
import { slackMessage } from './slack.js';
import { noticeText, plainBody } from './text.js';
import { post } from './webhook.js';

/**
 * Tells one target.
 * @throws NotTold when it did not take it; whatever `cancelled` aborts with.
 */
export async function tellTarget(target: NotifyTarget, notice: Notice, cancelled: AbortSignal): Promise<void> {
  const shown = presentable(notice);
  const text = noticeText(shown);
  if ('slack' in target) return post(target.slack, slackMessage(text), cancelled);
  if ('webhook' in target) {
    return post(target.webhook, { title: text.title, text: plainBody(text), ...shown }, cancelled);
  }
  return sendEmail(target.email, text, cancelled);
}
