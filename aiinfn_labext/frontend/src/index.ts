/**
 * What the platform has to say, as notifications of JupyterLab: there for as long as it is true.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';

import { changes, reads, type Notice } from './notices.js';
import { Events } from './request.js';

/** How often the minutes that are left are counted anew. */
const EVERY_MS = 20_000;

/** The notifications of one page. Who closes one has read it; it does not come back. */
class Shown {
  put(notices: Notice[]): void {
    this.notices = notices;
    this.refresh();
  }

  refresh(): void {
    const now = Date.now() / 1000;
    const { show, update, dismiss } = changes(this.texts, this.notices, now);
    for (const notice of show) {
      const actions = [{ label: 'Details', callback: (event: MouseEvent) => details(event, notice) }];
      const options = { autoClose: false as const, actions };
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

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'aiinfn-labext:notices',
  description: 'Shows what the aiinfn platform has to say.',
  autoStart: true,
  activate: (app: JupyterFrontEnd) => {
    const shown = new Shown();
    const events = new Events(app.serviceManager.serverSettings, notices => shown.put(notices));
    window.setInterval(() => shown.refresh(), EVERY_MS);
    window.addEventListener('pagehide', () => events.close());
  }
};

export default plugin;
