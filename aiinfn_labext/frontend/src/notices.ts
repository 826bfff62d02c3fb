/**
 * What the platform has to say, as `aiinfn_hub.contract.notices` writes it; and how it reads. Pure.
 */
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
}

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
  const clock = new Date(notice.due * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return notice.title.replace('{due}', `${clock} (${left(notice.due - now)})`);
}

function left(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (seconds <= 0) {
    return 'now';
  }
  if (minutes < 1) {
    return 'in less than a minute';
  }
  return minutes < 90 ? `in ${minutes} min` : `in ${Math.round(minutes / 60)} h`;
}
