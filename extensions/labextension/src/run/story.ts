/** One run as it is read: its newest events first, the older ones after them, and what comes from then on. */

import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { FeedItem, RunFeed } from '../events';
import { insist } from '../insist';
import type { RequestError } from '../request';
import type { IAgentsModel } from '../tokens';
import type { Delta, Run, RunEvent } from '../types';
import { isFinal } from '../types';
import type { IStory } from './blocks';
import { story } from './blocks';

/** So many of the newest events are asked for first: more than a screen shows, and quick to draw. */
const FIRST = 300;
const PAGE = 1_000;
/** Milliseconds between drawings, at least: one frame. A long run is drawn less often, by what that takes. */
const FRAME = 16;
const SHARE = 10;

/** Text that is being written: what of it was received. */
export interface ILive {
  readonly key: string;
  readonly kind: Delta['kind'];
  readonly text: string;
  /** Its beginning may be missing: the connection was another's when it began. */
  readonly cut: boolean;
  readonly parent: string | null;
}

/** `offline`: what is seen may be old, and another attempt comes by itself. `failed`: `error` says why. */
export type Connection = 'loading' | 'live' | 'offline' | 'ended' | 'failed';

export class RunStory implements IDisposable {
  constructor(
    private readonly model: IAgentsModel,
    readonly runId: string
  ) {
    model.runs.changed.connect(this._onRuns, this);
    void this._load();
  }

  /** Anything below is another. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get run(): Run | null {
    return this._run;
  }

  get story(): IStory {
    return this._story;
  }

  /** What is being written now, in order. */
  get live(): readonly ILive[] {
    return this._liveList;
  }

  get connection(): Connection {
    return this._connection;
  }

  get error(): RequestError | null {
    return this._error;
  }

  /** How many of its events are here, and how many it has. */
  get progress(): { loaded: number; total: number } {
    return { loaded: this._events.length, total: Math.max(this._run?.last_seq ?? 0, this._last) };
  }

  /** Whether nothing older than what is here is missing. */
  get isWhole(): boolean {
    return this._isWhole;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  /** A newer record of the run, such as the answer to a request of ours; it may work again. */
  take(run: Run): void {
    // An answer may be overtaken by what the feed tells.
    if (run.last_seq >= (this._run?.last_seq ?? 0)) {
      this._run = run;
    }
    this._follow();
    this._draw();
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    clearTimeout(this._drawTimer);
    this._over.abort();
    this._feed?.dispose();
    this.model.runs.changed.disconnect(this._onRuns, this);
    Signal.clearData(this);
  }

  private async _load(): Promise<void> {
    const { api } = this.model;
    const run = await this._insist(() => api.run(this.runId));
    if (!run) {
      return;
    }
    this._run = run;
    let start = Math.max(0, run.last_seq - FIRST);
    const newest = await this._read(start, run.last_seq);
    if (!newest) {
      return;
    }
    this._events = newest;
    this._last = newest.at(-1)?.seq ?? 0;
    this._connection = 'live';
    this._isWhole = start === 0;
    this._follow();
    this._fold();
    while (start > 0) {
      const from = Math.max(0, start - PAGE);
      const older = await this._read(from, start);
      if (!older) {
        return;
      }
      this._events = [...older, ...this._events];
      start = from;
      this._isWhole = start === 0;
      this._draw();
    }
  }

  /** The events after `from` up to `to`; null when they are not to be had, or nobody waits any more. */
  private async _read(from: number, to: number): Promise<RunEvent[] | null> {
    const found: RunEvent[] = [];
    let after = from;
    while (after < to) {
      const at = after;
      const page = await this._insist(() =>
        this.model.api.events(this.runId, { after: at, limit: Math.min(PAGE, to - at) })
      );
      if (!page?.items.length) {
        return page ? found : null;
      }
      found.push(...page.items);
      after = found.at(-1)?.seq ?? to;
    }
    return found;
  }

  /** Ask until there is an answer; null when the server refused, or nobody waits any more. */
  private async _insist<T>(ask: () => Promise<T>): Promise<T | null> {
    try {
      const answer = await insist(ask, this._over.signal, () => {
        if (!this._feed) {
          this._connection = 'offline';
          this._draw();
        }
      });
      if (answer !== null && this._connection === 'offline' && !this._feed) {
        this._connection = 'loading';
      }
      return answer;
    } catch (refusal) {
      this._error = refusal as RequestError;
      this._connection = 'failed';
      this._draw();
      return null;
    }
  }

  /** Follow the run from where we are, unless it has ended and all of it is here. */
  private _follow(): void {
    const run = this._run;
    if (this._disposed || !run || this._connection === 'loading' || this._connection === 'failed') {
      return;
    }
    if (isFinal(run.status) && run.last_seq <= this._last) {
      this._connection = this._feed && this._feed.state !== 'ended' ? this._connection : 'ended';
      return;
    }
    if (!this._feed) {
      this._feed = this.model.follow(this.runId, this._last);
      this._feed.received.connect(this._onReceived, this);
      this._feed.stateChanged.connect(this._onState, this);
    }
    this._feed.start();
  }

  private _onRuns(): void {
    const known = this.model.runs.value?.find(run => run.id === this.runId);
    const isNews = known && (known.last_seq > this._last || !isFinal(known.status));
    if (isNews && this._connection === 'ended') {
      this.take(known);
    }
  }

  private _onState(feed: RunFeed): void {
    switch (feed.state) {
      case 'live':
      case 'offline':
      case 'ended':
      case 'failed':
        this._connection = feed.state;
        this._error = feed.error;
        break;
      case 'idle':
      case 'connecting':
        break;
    }
    this._draw();
  }

  private _onReceived(_: RunFeed, items: readonly FeedItem[]): void {
    for (const item of items) {
      switch (item.type) {
        case 'run':
        case 'end':
          this._run = item.data;
          if (isFinal(item.data.status)) {
            this._live.clear();
          }
          break;
        case 'delta':
          this._takeDelta(item.data);
          break;
        case 'reconnected':
          this._live.clear();
          this._mayBeCut = true;
          break;
        case 'event':
          this._events.push(item.data);
          this._last = item.data.seq;
          this._endLive(item.data);
          break;
      }
    }
    this._draw();
  }

  private _takeDelta(delta: Delta): void {
    const key = `live-${delta.message_id}-${delta.block}`;
    const before = this._live.get(key);
    this._live.set(key, {
      key,
      kind: delta.kind,
      text: (before?.text ?? '') + delta.text,
      cut: before?.cut ?? this._mayBeCut,
      parent: delta.parent_tool_use_id
    });
    this._mayBeCut = false;
  }

  /** A message has come whole: each has one block, in their order. */
  private _endLive(event: RunEvent): void {
    if (event.type !== 'message' || event.payload['type'] !== 'assistant') {
      return;
    }
    this._mayBeCut = false;
    const { id } = (event.payload['message'] ?? {}) as { id?: string };
    for (const key of this._live.keys()) {
      if (key.startsWith(`live-${id}-`)) {
        this._live.delete(key);
        return;
      }
    }
  }

  /** Make the story anew soon, and say so. */
  private _draw(): void {
    this._drawTimer ??= setTimeout(
      () => {
        this._fold();
      },
      Math.max(FRAME, SHARE * this._took)
    );
  }

  private _fold(): void {
    clearTimeout(this._drawTimer);
    this._drawTimer = undefined;
    if (this._disposed) {
      return;
    }
    const began = performance.now();
    const newest = this._events.length ? `${this._events[0]?.seq}-${this._events.length}` : '';
    if (newest !== this._folded) {
      this._story = story({ prompt: this._run?.prompt ?? '' }, this._events);
      this._folded = newest;
    }
    this._liveList = [...this._live.values()];
    this._took = performance.now() - began;
    this._changed.emit();
  }

  private readonly _changed = new Signal<this, void>(this);
  private _feed: RunFeed | null = null;
  private _run: Run | null = null;
  private _events: RunEvent[] = [];
  private _story: IStory = { blocks: [], turns: 0 };
  private _folded = '';
  private readonly _live = new Map<string, ILive>();
  private _liveList: readonly ILive[] = [];
  private _mayBeCut = true;
  private _connection: Connection = 'loading';
  private _error: RequestError | null = null;
  private _last = 0;
  private _isWhole = false;
  private _took = 0;
  private _drawTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly _over = new AbortController();
  private _disposed = false;
}
