/** Words in the names of columns that hold personal data. */
const PERSONAL = new Set(
  `account address addr age bic birth birthdate birthday bday card cell city contact customer dob email emails fax
   firstname fullname gender guest household iban ip ipaddress lastname lat latitude license lng login lon longitude
   loyalty mail maiden member mobile msisdn name names nationality nickname nin pan passport password person phone
   phones postal postcode recipient secret sex ssn street surname tax tel telephone token user username visitor zip
   zipcode`.split(/\s+/),
);

/** The word that says of a column that it holds personal data: `email` of `customer_email`; null when none does. */
export function personalWord(name: string): string | null {
  const words = name.replace(/([a-z\d])([A-Z])/g, '$1_$2').toLowerCase();
  return words.split(/[^a-z]+/).findLast((word) => PERSONAL.has(word)) ?? null;
}

/** Whether a column holds personal data by its name: `customer_email`, `lastName`. */
export function isPersonalName(name: string): boolean {
  return personalWord(name) !== null;
}
