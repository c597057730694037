/** Whether a text names a time zone, such as Europe/Berlin or UTC; offsets such as +02:00 do not. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    wallClock(name);
    return true;
  } catch {
    return false;
  }
}

/**
 * The ISO date that calendars in a time zone show at an instant.
 * @throws RangeError when there is no such time zone.
 */
export function localDay(instant: Date, timezone: string): string {
  return new Date(wallTime(instant.getTime(), timezone)).toISOString().slice(0, 10);
}

/**
 * The first instant after another at which clocks in a time zone show a time of day. One that clocks skip in the night
 * they are put forward is moved with them, by an hour as a rule; one that they show twice is told once.
 * @param time `HH:MM`
 * @throws RangeError when there is no such time zone.
 */
export function nextTimeOfDay(after: Date, time: string, timezone: string): Date {
  let wall = Date.parse(`${localDay(after, timezone)}T${time}:00Z`);
  for (;;) {
    // The zone's offset is known for an instant only: that of the clock's time read as UTC is a day off at most.
    const near = wall - offsetAt(wall, timezone);
    const instant = new Date(wall - offsetAt(near, timezone));
    if (instant > after) return instant;
    wall += 86_400_000;
  }
}

/** Milliseconds that a time zone is ahead of UTC at an instant. */
function offsetAt(instant: number, timezone: string): number {
  return wallTime(instant, timezone) - Math.floor(instant / 1000) * 1000;
}

/** What clocks in a time zone show at an instant, to the second, read as if it were UTC. */
function wallTime(instant: number, timezone: string): number {
  const parts = wallClock(timezone).formatToParts(instant);
  const [year, month, day, hour, minute, second] = ['year', 'month', 'day', 'hour', 'minute', 'second'].map((type) =>
    Number(parts.find((part) => part.type === type)!.value),
  );
  return Date.UTC(year!, month! - 1, day, hour, minute, second);
}

/** @throws RangeError when there is no such time zone. */
function wallClock(timeZone: string): Intl.DateTimeFormat {
  const twoDigits = {
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  } as const;
  return new Intl.DateTimeFormat('en-US-u-ca-gregory-nu-latn', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    ...twoDigits,
  });
}
