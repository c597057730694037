const SECRET_NAME = /(?:TOKEN|KEY|SECRET|PASSWORD|CREDENTIALS)$/i;
/** Shorter values stand in ordinary text too often to be taken for the secret. */
const SECRET_LENGTH = 6;

const EMAIL = /(?<![\w.%+-])[\w.%+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}(?![a-z0-9-])/gi;
/** What may stand between the groups of digits in a phone number; one or two of them. */
const GAP = '[ .\\-/]{1,2}';
/** Not inside a longer word, number, date, time or id. */
const NOT_AFTER = '(?<![\\w+.:/-])';
const NOT_BEFORE = '(?![\\w-]|[.:/]\\d)';
const PHONES = [
  // +1 (212) 555-0123, +442079460958, and the same with 00 for +
  `(?<![\\w+])\\+\\d(?:[ .()/-]{0,2}\\d){7,14}${NOT_BEFORE}`,
  `${NOT_AFTER}00[1-9](?:[ .()/-]{0,2}\\d){9,12}${NOT_BEFORE}`,
  // (212) 555-0123, 212-555-0123, 212.555.0123, 1-212-555-0123
  `${NOT_AFTER}(?:1${GAP})?\\(\\d{3}\\)[ .-]{0,2}\\d{3}${GAP}\\d{4}${NOT_BEFORE}`,
  `${NOT_AFTER}(?:1${GAP})?\\d{3}${GAP}\\d{3}${GAP}\\d{4}${NOT_BEFORE}`,
  // 020 7946 0958, 06 12 34 56 78
  `${NOT_AFTER}0\\d{2,4} \\d{3,4} \\d{3,4}${NOT_BEFORE}`,
  `${NOT_AFTER}0\\d(?:[ .-]\\d{2}){4}${NOT_BEFORE}`,
  // Bare digits are an id unless the text says that they are a phone number.
  `(?<=\\b(?:phone|mobile|cell|tel|telephone|fax|msisdn)(?:[ _]?(?:number|no))?["']?[ :=]{1,3}["']?)\\d{7,15}${NOT_BEFORE}`,
].map((source) => new RegExp(source, 'gi'));
const CARD =
  /(?<![\w.-])(?:[3-6]\d{13,18}|2[2-7]\d{14}|[2-6]\d{3}([ -])\d{4}\1\d{4}\1\d{4}|3\d{3}([ -])\d{6}\2\d{5})(?![\w-]|\.\d)/g;

/**
 * Takes personal data and secrets out of text that people or history will keep: email addresses, phone numbers, card
 * numbers, and the values of environment variables that are named as secrets. Dates, ids, amounts and durations stay.
 */
export const maskPersonal: (text: string) => string = createMask(process.env);

/** A mask that knows the secrets of this environment. */
export function createMask(environment: NodeJS.ProcessEnv): (text: string) => string {
  const secrets = secretValues(environment);
  return (text) => {
    let masked = text;
    for (const secret of secrets) masked = masked.replaceAll(secret, '<secret>');
    if (masked.includes('@')) masked = masked.replace(EMAIL, '<email>');
    if (!/\d.{0,2}\d/.test(masked)) return masked;
    masked = masked.replace(CARD, (digits) => (passesLuhn(digits) ? '<card>' : digits));
    for (const phone of PHONES) masked = masked.replace(phone, '<phone>');
    return masked;
  };
}

/** Longest first, so that a secret that contains another is taken out whole; lines, because logs are masked by line. */
function secretValues(environment: NodeJS.ProcessEnv): string[] {
  const lines = Object.entries(environment)
    .filter(([name]) => SECRET_NAME.test(name))
    .flatMap(([, value = '']) => value.split(/\r?\n/))
    .map((line) => line.trim())
    .filter((line) => line.length >= SECRET_LENGTH);
  return [...new Set(lines)].sort((a, b) => b.length - a.length);
}

function passesLuhn(text: string): boolean {
  const digits = [...text.replace(/\D/g, '')].reverse().map(Number);
  const sum = digits.reduce(
    (total, digit, i) => total + (i % 2 === 0 ? digit : digit > 4 ? digit * 2 - 9 : digit * 2),
    0,
  );
  return sum % 10 === 0;
}
