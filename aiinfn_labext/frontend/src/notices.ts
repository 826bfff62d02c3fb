/**
 * What the platform has to say, as `aiinfn_hub.contract.notices` writes it; and how it reads. Pure.
 */
import { clock, left } from './times.js';

export interface Notice {
  /** The same for as long as it is about the same thing. */
  id: string;
  level: 'info' | 'warning' | 'error';
  /** One line; `{due}` in it stands for the time `due`. */
  title: string;
  text: string;
  /** Unix seconds, as `due`. */
  since: number;
  due: number | null;
  server: string | null;
  /** What one click does about it: let the session go on for longer, or say that somebody is here. */
  act: '' | 'extend' | 'keep';
}

/** Seconds before the end of a session at which what is open is saved. */
const SAVE_BEFORE_S = 60;

/** What to do with those that are shown, so that the ones that are true now are. */
export interface Changes {
  show: Notice[];
  update: Notice[];
  dismiss: string[];
}

/** `shown` maps the id of each notice that is shown to how it reads there. */
export function changes(shown: ReadonlyMap<string, string>, notices: readonly Notice[], now: number): Changes {
  const ids = new Set(notices.map(notice => notice.id));
  return {
    show: notices.filter(notice => !shown.has(notice.id)),
    update: notices.filter(notice => shown.has(notice.id) && shown.get(notice.id) !== reads(notice, now)),
    dismiss: [...shown.keys()].filter(id => !ids.has(id))
  };
}

/** The title with its time on the person's clock, and how long that is from now. */
export function reads(notice: Notice, now: number): string {
  if (notice.due === null) {
    return notice.title;
  }
  return notice.title.replace('{due}', `${clock(notice.due, now)} (${left(notice.due - now)})`);
}

/** Whether the session is about to end, so that what is open is to be saved, again and again. */
export function ending(notices: readonly Notice[], now: number): boolean {
  return notices.some(
    notice => notice.server !== null && notice.due !== null && notice.due - now <= SAVE_BEFORE_S
  );
}
