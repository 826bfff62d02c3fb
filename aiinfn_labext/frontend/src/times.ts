/**
 * Times as people read them. Pure; in Unix seconds.
 */

/** On the clock of the person, with the day if it is another one than now. */
export function clock(seconds: number, now: number): string {
  const date = new Date(seconds * 1000);
  const time = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  const today = date.toDateString() === new Date(now * 1000).toDateString();
  return today ? time : `${date.toLocaleDateString([], { weekday: 'short', day: 'numeric', month: 'short' })} ${time}`;
}

/** How long that is from now. */
export function left(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (seconds <= 0) {
    return 'now';
  }
  if (minutes < 1) {
    return 'in less than a minute';
  }
  return minutes < 90 ? `in ${minutes} min` : `in ${Math.round(minutes / 60)} h`;
}
