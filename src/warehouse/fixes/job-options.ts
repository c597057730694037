/** What every query of a fix or a rehearsal carries. */
export interface JobOptions {
  location: string;
  labels: Record<string, string>;
  /** Null without a bound. */
  maxBytesBilled: number | null;
}

/** The same as BigQuery's client takes it. */
export function jobOptions({ location, labels, maxBytesBilled }: JobOptions) {
  return { location, labels, ...(maxBytesBilled !== null && { maximumBytesBilled: `${maxBytesBilled}` }) };
}
