import { describe, expect, it } from '@jest/globals';
import { isTimeZone, localDay, nextTimeOfDay } from '../../../src/pipeline/time-zone.js';

const day = (instant: string, timezone: string) => localDay(new Date(instant), timezone);
const next = (after: string, time: string, timezone: string) =>
  nextTimeOfDay(new Date(after), time, timezone).toISOString();

describe('the day of an instant', () => {
  it.each([
    ['2025-07-18T23:30:00Z', 'UTC', '2025-07-18'],
    ['2025-07-18T23:30:00Z', 'Europe/Berlin', '2025-07-19'],
    ['2025-07-19T03:59:59Z', 'America/New_York', '2025-07-18'],
    ['2025-07-19T04:00:00Z', 'America/New_York', '2025-07-19'],
    // Month, year and leap-day ends.
    ['2025-07-31T22:00:00Z', 'Europe/Berlin', '2025-08-01'],
    ['2026-01-01T04:59:59Z', 'America/New_York', '2025-12-31'],
    ['2028-02-29T15:00:00Z', 'Asia/Tokyo', '2028-03-01'],
    // The two farthest apart, and a zone of three quarters of an hour.
    ['2025-07-18T11:00:00Z', 'Pacific/Kiritimati', '2025-07-19'],
    ['2025-07-18T11:00:00Z', 'Pacific/Pago_Pago', '2025-07-18'],
    ['2025-07-18T18:15:00Z', 'Asia/Kathmandu', '2025-07-19'],
    // Midnight in the nights that clocks are put forward and back; in Beirut it is midnight itself that is skipped.
    ['2026-03-28T22:59:59Z', 'Europe/Berlin', '2026-03-28'],
    ['2026-03-28T23:00:00Z', 'Europe/Berlin', '2026-03-29'],
    ['2026-03-29T22:00:00Z', 'Europe/Berlin', '2026-03-30'],
    ['2026-10-24T22:00:00Z', 'Europe/Berlin', '2026-10-25'],
    ['2026-10-25T22:59:59Z', 'Europe/Berlin', '2026-10-25'],
    ['2026-10-25T23:00:00Z', 'Europe/Berlin', '2026-10-26'],
    ['2026-03-28T22:00:00Z', 'Asia/Beirut', '2026-03-29'],
  ])('%s in %s is %s', (instant, timezone, expected) => expect(day(instant, timezone)).toBe(expected));

  it('goes on by one from night to night of a year, whatever clocks do', () => {
    for (const timezone of ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Santiago']) {
      let now = new Date('2026-01-01T12:00:00Z');
      for (let night = 0; night < 365; night++) {
        const after = nextTimeOfDay(now, '02:30', timezone);
        const gone = Date.parse(localDay(after, timezone)) - Date.parse(localDay(now, timezone));
        expect({ timezone, now, gone: gone / 86_400_000 }).toEqual({
          timezone,
          now,
          gone: night === 0 ? expect.any(Number) : 1,
        });
        now = after;
      }
    }
  });
});

describe('the next time of day', () => {
  it.each([
    ['2025-07-18T00:00:00Z', '08:00', 'UTC', '2025-07-18T08:00:00.000Z'],
    ['2025-07-18T08:00:00Z', '08:00', 'UTC', '2025-07-19T08:00:00.000Z'],
    ['2025-07-18T00:00:00Z', '08:00', 'Europe/Berlin', '2025-07-18T06:00:00.000Z'],
    ['2025-07-18T21:30:00Z', '08:00', 'Europe/Berlin', '2025-07-19T06:00:00.000Z'],
    ['2025-07-18T20:00:00Z', '08:00', 'America/New_York', '2025-07-19T12:00:00.000Z'],
    ['2025-07-18T20:00:00Z', '08:00', 'Asia/Tokyo', '2025-07-18T23:00:00.000Z'],
    // From winter to summer time and back, in one night.
    ['2026-03-28T12:00:00Z', '08:00', 'Europe/Berlin', '2026-03-29T06:00:00.000Z'],
    ['2026-10-24T12:00:00Z', '08:00', 'Europe/Berlin', '2026-10-25T07:00:00.000Z'],
    // 02:30 does not exist, and exists twice.
    ['2026-03-28T12:00:00Z', '02:30', 'Europe/Berlin', '2026-03-29T01:30:00.000Z'],
    ['2026-10-24T12:00:00Z', '02:30', 'Europe/Berlin', expect.stringMatching(/^2026-10-25T0[01]:30/)],
  ])('after %s, %s in %s', (after, time, timezone, expected) => expect(next(after, time, timezone)).toEqual(expected));
});

it('time zones are known by their names', () => {
  for (const name of ['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Etc/GMT+3']) {
    expect(isTimeZone(name)).toBe(true);
  }
  for (const name of ['', 'Europe/Atlantis', '+02:00', 'Europe Berlin', '../etc', 'Berlin']) {
    expect(isTimeZone(name)).toBe(false);
  }
});
