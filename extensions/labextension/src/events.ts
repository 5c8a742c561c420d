/**
 * Follows a run: every durable event once and in order, live pieces of text between them, over lost connections.
 *
 * A WebSocket, not server-sent events: a browser opens only six HTTP/1.1 connections to a host, over all its tabs, so
 * that a handful of open runs would leave none for the rest of JupyterLab.
 */

import type { ServerConnection } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { AgentsApi, eventsPath } from './api';
import { RequestError, webSocketUrl } from './request';
import type { Delta, Run, RunEvent } from './types';

export type FeedItem =
  | { type: 'event'; data: RunEvent }
  | { type: 'delta'; data: Delta }
  /** The run's record, at the start and whenever its status changes. */
  | { type: 'run'; data: Run }
  /** The run's record when it has ended and all its events were told. */
  | { type: 'end'; data: Run }
  /** The connection was another's before: unfinished live text has holes; the event that follows has the whole. */
  | { type: 'reconnected' };

/**
 * `idle`: not started, or stopped. `offline`: the connection is lost; another attempt comes by itself. `failed`: there is
 * nothing to follow, and `error` says why.
 */
export type FeedState = 'idle' | 'connecting' | 'live' | 'offline' | 'ended' | 'failed';

export interface IFeedTimes {
  /** Milliseconds that items are gathered before they are told: about one frame. */
  gather: number;
  /** Milliseconds before the first new attempt; each that follows waits twice as long. */
  retry: number;
  /** Milliseconds between attempts, at most. */
  retryMost: number;
  /** Milliseconds of silence after which the server is asked whether there is nothing new indeed. */
  silence: number;
}

const TIMES: IFeedTimes = { gather: 16, retry: 500, retryMost: 5_000, silence: 10_000 };

export class RunFeed implements IDisposable {
  constructor(
    private readonly api: AgentsApi,
    readonly runId: string,
    options: { after?: number; times?: Partial<IFeedTimes> } = {}
  ) {
    this._last = options.after ?? 0;
    this.times = { ...TIMES, ...options.times };
  }

  /** What came, in order, gathered for a frame. */
  get received(): ISignal<this, readonly FeedItem[]> {
    return this._received;
  }

  get stateChanged(): ISignal<this, FeedState> {
    return this._stateChanged;
  }

  get state(): FeedState {
    return this._state;
  }

  /** Why the state is `failed`. */
  get error(): RequestError | null {
    return this._error;
  }

  /** The number of the newest event that was received. */
  get lastSeq(): number {
    return this._last;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  /** Follow, from where it was left. After `ended` this is for a run that was resumed. */
  start(): void {
    if (this._disposed || this._state === 'connecting' || this._state === 'live') {
      return;
    }
    this._error = null;
    this._attempts = 0;
    window.addEventListener('online', this._onOnline);
    window.addEventListener('offline', this._onOffline);
    this._connect();
  }

  /** Stop to follow; `start` goes on from there. */
  stop(): void {
    this._leave();
    this._setState('idle');
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._leave();
    this._disposed = true;
    Signal.clearData(this);
  }

  private _leave(): void {
    window.removeEventListener('online', this._onOnline);
    window.removeEventListener('offline', this._onOffline);
    this._hangUp();
    clearTimeout(this._retryTimer);
    this._retryTimer = undefined;
    this._flush();
  }

  private _connect(): void {
    this._hangUp();
    clearTimeout(this._retryTimer);
    this._retryTimer = undefined;
    if (this._state !== 'offline') {
      this._setState('connecting');
    }
    const settings: ServerConnection.ISettings = this.api.settings;
    const url = webSocketUrl(settings, eventsPath(this.runId), { after: this._last });
    const socket = new settings.WebSocket(url);
    this._socket = socket;
    socket.onmessage = message => {
      if (socket === this._socket) {
        this._take(JSON.parse(String(message.data)) as FeedItem);
      }
    };
    // Says nothing that the end of the connection does not say too.
    socket.onerror = () => undefined;
    socket.onclose = () => {
      if (socket === this._socket) {
        void this._onLost();
      }
    };
    this._watchSilence();
  }

  /** Let go of the connection, if there is one. */
  private _hangUp(): void {
    clearTimeout(this._silenceTimer);
    const socket = this._socket;
    this._socket = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  private _take(item: FeedItem): void {
    this._watchSilence();
    if (this._state !== 'live') {
      if (this._wasLive) {
        this._gathered.push({ type: 'reconnected' });
      }
      this._wasLive = true;
      this._attempts = 0;
      this._setState('live');
    }
    if (item.type === 'event') {
      if (item.data.seq <= this._last) {
        return;
      }
      if (item.data.seq > this._last + 1) {
        // Never seen; were it so, the server has the ones between.
        this._connect();
        return;
      }
      this._last = item.data.seq;
    }
    this._gathered.push(item);
    if (item.type === 'end') {
      this._wasLive = false;
      this._leave();
      this._setState('ended');
    } else {
      this._gatherTimer ??= setTimeout(() => {
        this._flush();
      }, this.times.gather);
    }
  }

  private _flush(): void {
    clearTimeout(this._gatherTimer);
    this._gatherTimer = undefined;
    const items = this._gathered;
    this._gathered = [];
    if (items.length) {
      this._received.emit(items);
    }
  }

  /** The connection is gone, or there was none. A WebSocket does not say why; a request does. */
  private async _onLost(): Promise<void> {
    this._hangUp();
    this._flush();
    const attempt = ++this._attempts;
    if (attempt > 1 || !navigator.onLine) {
      this._setState('offline');
    }
    try {
      await this.api.run(this.runId);
    } catch (error) {
      if (error instanceof RequestError && !error.isOffline && error.status < 500) {
        if (this._isFollowing()) {
          this._error = error;
          this._leave();
          this._setState('failed');
        }
        return;
      }
      if (this._isFollowing()) {
        this._setState('offline');
      }
    }
    if (this._isFollowing() && !this._socket && this._retryTimer === undefined) {
      const wait = Math.min(this.times.retry * 2 ** (attempt - 1), this.times.retryMost);
      this._retryTimer = setTimeout(
        () => {
          this._connect();
        },
        wait * (0.75 + Math.random() / 2)
      );
    }
  }

  private _isFollowing(): boolean {
    return !this._disposed && this._state !== 'idle' && this._state !== 'ended' && this._state !== 'failed';
  }

  /** Behind a proxy a broken connection may look like silence for ever. */
  private _watchSilence(): void {
    clearTimeout(this._silenceTimer);
    this._silenceTimer = setTimeout(() => {
      void this._lookBehindSilence();
    }, this.times.silence);
  }

  private async _lookBehindSilence(): Promise<void> {
    const socket = this._socket;
    const last = this._last;
    let missed = true;
    try {
      const page = await this.api.events(this.runId, { after: last, limit: 1 });
      missed = page.items.length > 0 || page.next === null;
    } catch {
      // Not even a request gets through.
    }
    if (!socket || socket !== this._socket) {
      return;
    }
    if (missed && this._last === last) {
      await this._onLost();
    } else {
      this._watchSilence();
    }
  }

  private readonly _onOnline = (): void => {
    if (this._isFollowing()) {
      this._attempts = 0;
      this._connect();
    }
  };

  private readonly _onOffline = (): void => {
    if (this._isFollowing()) {
      void this._onLost();
    }
  };

  private _setState(state: FeedState): void {
    if (state !== this._state) {
      this._state = state;
      this._stateChanged.emit(state);
    }
  }

  private readonly times: IFeedTimes;
  private readonly _received = new Signal<this, readonly FeedItem[]>(this);
  private readonly _stateChanged = new Signal<this, FeedState>(this);
  private _state: FeedState = 'idle';
  private _error: RequestError | null = null;
  private _disposed = false;
  private _wasLive = false;
  private _last: number;
  private _attempts = 0;
  private _socket: WebSocket | null = null;
  private _gathered: FeedItem[] = [];
  private _gatherTimer: ReturnType<typeof setTimeout> | undefined;
  private _retryTimer: ReturnType<typeof setTimeout> | undefined;
  private _silenceTimer: ReturnType<typeof setTimeout> | undefined;
}
