/**
 * The only place that opens a connection: to the person's own Jupyter server, with its own cookies.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { Life } from './life.js';
import type { Notice } from './notices.js';

/** What the websocket says; jobs are for another part of the page. */
interface Message {
  notices?: Notice[];
  life?: Life;
}

/**
 * Ask the server for an act on this session: `keep` or `extend`. Rejects with what the server says, or cannot say.
 */
export async function act(settings: ServerConnection.ISettings, name: string, body: object): Promise<Life> {
  const url = URLExt.join(settings.baseUrl, 'aiinfn', 'api', name);
  const answer = await ServerConnection.makeRequest(url, { method: 'POST', body: JSON.stringify(body) }, settings);
  const said = (await answer.json()) as Life & { error?: { message: string; hint: string } };
  if (!answer.ok) {
    throw new Error(said.error ? `${said.error.message} ${said.error.hint}` : `The server answered ${answer.status}.`);
  }
  return said;
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
    private readonly onNotices: (notices: Notice[]) => void,
    private readonly onLife: (life: Life) => void
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
      if (message.life) {
        this.onLife(message.life);
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
