import { createTransport } from 'nodemailer';
import { withTimeLimit } from '../time-limit.js';
import { NotTold } from './errors.js';
import { isLoopback, secretUrl } from './secrets.js';
import { type NoticeText, plainBody } from './text.js';
import { ANSWER_MS } from './webhook.js';

/** From greeting to the end of the message. */
const SENDING_MS = 30_000;

export interface EmailTarget {
  to: string[];
  from: string;
  /** Environment variable with the URL of the mail server. */
  smtp: string;
}

/**
 * Sends a notice by e-mail, off this machine encrypted.
 * @throws NotTold when the mail server did not take it for everyone.
 */
export async function sendEmail(target: EmailTarget, notice: NoticeText, cancelled: AbortSignal): Promise<void> {
  const url = secretUrl(target.smtp, 'smtps:', 'smtp:');
  const transport = createTransport({
    url: url.href,
    requireTLS: url.protocol === 'smtp:' && !isLoopback(url),
    connectionTimeout: ANSWER_MS,
    socketTimeout: ANSWER_MS,
  });
  const sent = await transport
    .sendMail({
      from: target.from,
      to: target.to,
      subject: `[dayfill] ${notice.title.replace(/\s+/g, ' ')}`,
      text: plainBody(notice),
      disableFileAccess: true,
      disableUrlAccess: true,
      signal: withTimeLimit(cancelled, SENDING_MS),
    })
    .catch((error: unknown) => {
      if (cancelled.aborted) throw error;
      throw notSent(target.smtp, error as SmtpError);
    });
  const { length } = sent.rejected;
  if (length > 0) {
    throw new NotTold(`The mail server of ${target.smtp} refused ${length} of ${target.to.length} recipients.`, false);
  }
}

interface SmtpError extends Error {
  code?: string;
  responseCode?: number;
}

/** What the server said may name the user; its code does not. */
function notSent(variable: string, { code, responseCode }: SmtpError): NotTold {
  if (responseCode !== undefined) {
    return new NotTold(`The mail server of ${variable} answered ${responseCode} (${code}).`, responseCode < 500);
  }
  return new NotTold(
    `The mail server of ${variable} cannot be reached${code === undefined ? '' : ` (${code})`}.`,
    true,
  );
}
