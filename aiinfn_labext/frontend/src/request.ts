/**
 * The only place that opens a connection: to the person's own Jupyter server, with its own cookies.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { Notice } from './notices.js';

/** What the websocket says; jobs are for another part of the page. */
interface Message {
  notices?: Notice[];
}

/** Seconds before the first and between the later tries to connect again. */
const FIRST_S = 1;
const LONGEST_S = 30;

/**
 * Listen to the one websocket of the page until `close` is called. A connection that breaks is opened again, later each
 * time, and never by all pages of a restarted server at the same moment.
 *
 * No token goes into the address, where logs would keep it: the cookie of the page is enough.
 */
export class Events {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly onNotices: (notices: Notice[]) => void
  ) {
    this.open();
  }

  close(): void {
    this.closed = true;
    window.clearTimeout(this.timer);
    this.socket?.close();
  }

  private open(): void {
    const socket = new this.settings.WebSocket(URLExt.join(this.settings.wsUrl, 'aiinfn', 'events'));
    this.socket = socket;
    socket.onmessage = (event: MessageEvent<string>) => {
      this.pause = FIRST_S;
      const message = JSON.parse(event.data) as Message;
      if (message.notices) {
        this.onNotices(message.notices);
      }
    };
    socket.onclose = () => {
      if (!this.closed) {
        this.timer = window.setTimeout(() => this.open(), this.pause * 1000 * (0.5 + Math.random()));
        this.pause = Math.min(LONGEST_S, this.pause * 2);
      }
    };
  }

  private closed = false;
  private pause = FIRST_S;
  private socket: WebSocket | null = null;
  private timer: number | undefined;
}
