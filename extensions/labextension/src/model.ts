/** The state that all widgets show, kept up to date while the page can be seen. */

import type { ServerConnection } from '@jupyterlab/services';
import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { AgentsApi } from './api';
import { RunFeed } from './events';
import { RequestError } from './request';
import type { IAgentsModel, IWatched } from './tokens';
import type { Agent, Approval, BudgetLeft, Health, IPage, Run } from './types';

/** At most so many agents, runs, approvals are held. */
const MOST = 1_000;
const NEWEST_RUNS = 50;

/** Milliseconds between requests, when all is well. */
export interface IIntervals {
  agents: number;
  runs: number;
  approvals: number;
  health: number;
  budget: number;
}

const INTERVALS: IIntervals = {
  agents: 10_000,
  runs: 3_000,
  approvals: 3_000,
  health: 15_000,
  budget: 30_000
};

/** One value of the server's, asked for again while the page is seen. */
export class Watched<T> implements IWatched<T> {
  constructor(
    name: string,
    private readonly fetch: () => Promise<T>,
    interval: number,
    standby: Poll.Standby | (() => boolean | Poll.Standby) = 'when-hidden'
  ) {
    this._poll = new Poll({
      name: `@jupyterhub-agents/labextension:${name}`,
      factory: () => this._ask(),
      // A failure is no reason to stay away longer: the server may be back in a moment.
      frequency: { interval, backoff: false },
      standby
    });
  }

  get value(): T | null {
    return this._value;
  }

  get error(): RequestError | null {
    return this._error;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** There was an answer, or a failure; also when both are as before. */
  get settled(): ISignal<this, RequestError | null> {
    return this._settled;
  }

  async refresh(): Promise<void> {
    await this._ask().catch(() => undefined);
    if (!this._poll.isDisposed) {
      void this._poll.schedule({ phase: 'refreshed', interval: this._poll.frequency.interval });
    }
  }

  dispose(): void {
    this._poll.dispose();
    Signal.clearData(this);
  }

  /** The newest request wins, whichever answer comes first. */
  private async _ask(): Promise<void> {
    const turn = ++this._turn;
    try {
      const value = await this.fetch();
      this._set(turn, value, null);
    } catch (error) {
      const failure =
        error instanceof RequestError ? error : new RequestError(String(error), 'unreadable', 0);
      this._set(turn, this._value, failure);
      throw failure;
    }
  }

  private _set(turn: number, value: T | null, error: RequestError | null): void {
    if (this._poll.isDisposed || turn < this._done) {
      return;
    }
    this._done = turn;
    this._settled.emit(error);
    const text = JSON.stringify(value);
    if (
      text !== this._text ||
      error?.message !== this._error?.message ||
      (value === null && error === null)
    ) {
      this._value = text === this._text ? this._value : value;
      this._text = text;
      this._error = error;
      this._changed.emit();
    }
  }

  private readonly _poll: Poll;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _settled = new Signal<this, RequestError | null>(this);
  private _value: T | null = null;
  private _text = '';
  private _error: RequestError | null = null;
  private _turn = 0;
  private _done = 0;
}

export class AgentsModel implements IAgentsModel {
  constructor(settings: ServerConnection.ISettings, intervals: Partial<IIntervals> = {}) {
    const times = { ...INTERVALS, ...intervals };
    const api = (this.api = new AgentsApi(settings));
    this.agents = new Watched('agents', () => all(after => api.agents(after ? { after } : {})), times.agents);
    this.runs = new Watched('runs', async () => (await api.runs({ limit: NEWEST_RUNS })).items, times.runs);
    // Also while the page is hidden: that is when a person wants to be told.
    this.approvals = new Watched(
      'approvals',
      async () =>
        (await all(before => api.approvals({ waiting: true, ...(before ? { before } : {}) }))).reverse(),
      times.approvals,
      'never'
    );
    this.health = new Watched('health', () => api.health(), times.health);
    this.budget = new Watched('budget', () => api.budget(), times.budget);
    this._watched = [this.agents, this.runs, this.approvals, this.health, this.budget];
    for (const one of [this.agents, this.runs, this.approvals, this.health]) {
      one.settled.connect(this._onSettled, this);
    }
    window.addEventListener('online', this._onOnline);
    window.addEventListener('offline', this._onOffline);
  }

  get online(): boolean {
    return this._online;
  }

  get onlineChanged(): ISignal<this, boolean> {
    return this._onlineChanged;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  follow(runId: string, after = 0): RunFeed {
    return new RunFeed(this.api, runId, { after });
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    window.removeEventListener('online', this._onOnline);
    window.removeEventListener('offline', this._onOffline);
    for (const one of this._watched) {
      one.dispose();
    }
    Signal.clearData(this);
  }

  private _onSettled(_: unknown, error: RequestError | null): void {
    this._setOnline(!error?.isOffline);
  }

  private _setOnline(online: boolean): void {
    if (online !== this._online) {
      this._online = online;
      this._onlineChanged.emit(online);
    }
  }

  private readonly _onOnline = (): void => {
    for (const one of this._watched) {
      void one.refresh();
    }
  };

  private readonly _onOffline = (): void => {
    this._setOnline(false);
  };

  readonly api: AgentsApi;
  readonly agents: Watched<readonly Agent[]>;
  readonly runs: Watched<readonly Run[]>;
  readonly approvals: Watched<readonly Approval[]>;
  readonly health: Watched<Health>;
  readonly budget: Watched<BudgetLeft>;
  private readonly _watched: readonly Watched<unknown>[];
  private readonly _onlineChanged = new Signal<this, boolean>(this);
  private _online = true;
  private _disposed = false;
}

/** All items of a list, by its cursor, up to `MOST`. */
async function all<T>(ask: (cursor: string | null) => Promise<IPage<T>>): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const page: IPage<T> = await ask(cursor);
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== null && items.length < MOST);
  return items;
}
