/**
 * What the platform has to say, as notifications of JupyterLab, there for as long as it is true; in the status bar, how
 * long the session goes on; and the jobs.
 */
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IStatusBar } from '@jupyterlab/statusbar';
import { Widget } from '@lumino/widgets';

import { addJobs } from './jobspanel.js';
import { explains, reads as lifeReads, span, type Life } from './life.js';
import { changes, ending, reads, type Notice } from './notices.js';
import { act, Events } from './request.js';

/** How often the minutes that are left are counted anew. */
const EVERY_MS = 10_000;

/** What one click does about a notice. */
const LABELS = { extend: 'Extend', keep: 'I am still here' } as const;

/** The session of this page: what is known of it, and what somebody may do about it. */
class Session {
  constructor(private readonly app: JupyterFrontEnd) {}

  /** How long it goes on; null while nobody has said it. */
  life: Life | null = null;

  /** Ask for more time, or say to be here; true when that was granted. A refusal is shown. */
  async act(name: 'extend' | 'keep'): Promise<boolean> {
    try {
      const wish = name === 'extend' ? { ends: this.life?.ends ?? 0 } : {};
      this.life = await act(this.app.serviceManager.serverSettings, name, wish);
      return true;
    } catch (error) {
      await showErrorMessage(name === 'extend' ? 'It was not extended' : 'Nobody heard it', error as Error);
      return false;
    }
  }

  /** Save whatever is open and was changed. */
  save(): void {
    void this.app.commands.execute('docmanager:save-all');
  }
}

/** The notifications of one page. Who closes one has read it; it does not come back. */
class Shown {
  constructor(
    private readonly session: Session,
    private readonly onAct: () => void
  ) {}

  put(notices: Notice[]): void {
    this.notices = notices;
    this.refresh();
  }

  refresh(): void {
    const now = Date.now() / 1000;
    const { show, update, dismiss } = changes(this.texts, this.notices, now);
    for (const notice of show) {
      const options = { autoClose: false as const, actions: this.actions(notice) };
      this.ids.set(notice.id, Notification.emit(reads(notice, now), notice.level, options));
      this.texts.set(notice.id, reads(notice, now));
    }
    for (const notice of update) {
      // One that was closed is not there any more, and stays closed.
      Notification.update({ id: this.ids.get(notice.id) ?? '', message: reads(notice, now) });
      this.texts.set(notice.id, reads(notice, now));
    }
    for (const id of dismiss) {
      Notification.dismiss(this.ids.get(id));
      this.ids.delete(id);
      this.texts.delete(id);
    }
    if (ending(this.notices, now)) {
      this.session.save();
    }
  }

  private actions(notice: Notice): Notification.IAction[] {
    const more = { label: 'Details', callback: (event: MouseEvent) => details(event, notice) };
    const name = notice.act;
    if (!name) {
      return [more];
    }
    const callback = (event: MouseEvent) => {
      event.preventDefault(); // it is there until it was granted
      void this.session.act(name).then(granted => {
        if (granted) {
          Notification.dismiss(this.ids.get(notice.id));
          this.onAct();
        }
      });
    };
    return [{ label: LABELS[name], callback, displayType: 'accent' }, more];
  }

  private notices: Notice[] = [];
  private readonly ids = new Map<string, string>();
  private readonly texts = new Map<string, string>();
}

function details(event: MouseEvent, notice: Notice): void {
  event.preventDefault(); // else the notification is gone
  const title = reads(notice, Date.now() / 1000);
  void showDialog({ title, body: notice.text, buttons: [Dialog.okButton({ label: 'Close' })] });
}

/** The countdown in the status bar; a click says why, and asks for more. */
class Countdown extends Widget {
  constructor(private readonly session: Session) {
    const button = document.createElement('button');
    button.className = 'jp-Button jp-mod-minimal aiinfn-Life';
    button.title = 'How long this session goes on';
    super({ node: button });
    button.addEventListener('click', () => void this.explain());
    this.refresh();
  }

  refresh(): void {
    this.node.textContent = this.session.life ? lifeReads(this.session.life, Date.now() / 1000) : '';
    this.setHidden(!this.node.textContent);
  }

  private async explain(): Promise<void> {
    const life = this.session.life;
    if (!life) {
      return;
    }
    const body = new Widget();
    for (const line of explains(life, Date.now() / 1000)) {
      body.node.appendChild(document.createElement('p')).textContent = line;
    }
    const extend = life.extend_s > 0 ? [Dialog.okButton({ label: `Extend by ${span(life.extend_s)}` })] : [];
    const buttons = [Dialog.cancelButton({ label: 'Close' }), ...extend];
    const answer = await showDialog({ title: 'This session', body, buttons });
    if (answer.button.accept && (await this.session.act('extend'))) {
      this.refresh();
    }
  }
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'aiinfn-labext:notices',
  description: 'Shows what the aiinfn platform has to say, how long the session goes on, and the jobs.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [IStatusBar, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    bar: IStatusBar | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const session = new Session(app);
    const countdown = new Countdown(session);
    const shown = new Shown(session, () => countdown.refresh());
    bar?.registerStatusItem('aiinfn-labext:life', { item: countdown, align: 'right', rank: 1000 });
    const events = new Events(
      app.serviceManager.serverSettings,
      notices => shown.put(notices),
      life => {
        session.life = life;
        countdown.refresh();
      },
      addJobs(app, rendermime, palette, restorer)
    );
    window.setInterval(() => {
      shown.refresh();
      countdown.refresh();
    }, EVERY_MS);
    window.addEventListener('pagehide', () => events.close());
  }
};

export default plugin;
