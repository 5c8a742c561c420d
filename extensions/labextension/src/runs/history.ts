/** The runs of the past that a person looks through, with what they look for. */

import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IAgentsModel } from '../tokens';
import type { Run, RunStatus } from '../types';
import { isFinal } from '../types';

export interface IFilters {
  agent: string;
  status: RunStatus | '';
  trigger: Run['trigger'] | '';
  /** Words of the prompt, in any case. */
  text: string;
}

const NONE: IFilters = { agent: '', status: '', trigger: '', text: '' };
const PAGE = 100;
/** Pages that one click looks through for what the server cannot look for: trigger and text. */
const PAGES = 10;
/** Old runs at work, beyond the newest that the model holds, that are asked for again. */
const OLD_AT_WORK = 10;

export class RunHistory implements IDisposable {
  constructor(private readonly model: IAgentsModel) {
    model.runs.changed.connect(this._onRuns, this);
    this._onRuns();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get filters(): Readonly<IFilters> {
    return this._filters;
  }

  get isFiltered(): boolean {
    return Object.values(this._filters).some(Boolean);
  }

  /** What was found so far, newest first. */
  get shown(): readonly Run[] {
    return this._shown;
  }

  /** How many runs were looked through for that. */
  get read(): number {
    return this._known.size;
  }

  /** Whether there may be older ones. */
  get hasMore(): boolean {
    return this._next !== null;
  }

  get isLoading(): boolean {
    return this._loading;
  }

  get error(): string {
    return this._error;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  /** Look for something else. The server looks for the agent and the status; the rest is looked for here. */
  async filter(changes: Partial<IFilters>): Promise<void> {
    const before = this._filters;
    this._filters = { ...before, ...changes };
    if (before.agent !== this._filters.agent || before.status !== this._filters.status) {
      await this._restart();
    } else {
      this._show();
      if (!this._shown.length && this.hasMore) {
        await this.more();
      }
    }
  }

  async clear(): Promise<void> {
    await this.filter(NONE);
  }

  /** Read on until something more is found. */
  async more(): Promise<void> {
    if (this._loading) {
      return;
    }
    const turn = this._turn;
    const before = this._shown.length;
    this._set({ loading: true, error: '' });
    try {
      for (let page = 0; page < PAGES && this._next !== null && this._shown.length === before; page++) {
        const { agent, status } = this._filters;
        const found = await this.model.api.runs({
          limit: PAGE,
          ...(this._next ? { before: this._next } : {}),
          ...(agent ? { agent } : {}),
          ...(status ? { status: [status] } : {})
        });
        if (this._disposed || turn !== this._turn) {
          return;
        }
        this._next = found.next;
        this._take(found.items);
      }
      this._set({ loading: false });
    } catch (error) {
      if (turn === this._turn) {
        this._set({ loading: false, error: error instanceof Error ? error.message : String(error) });
      }
    }
  }

  dispose(): void {
    this._disposed = true;
    Signal.clearData(this);
  }

  private async _restart(): Promise<void> {
    this._turn += 1;
    this._known.clear();
    this._next = '';
    this._loading = false;
    // The newest are known already; what the server finds may hold no older ones.
    this._take(this.model.runs.value ?? []);
    await this.more();
  }

  private _onRuns(): void {
    const newest = this.model.runs.value;
    if (!newest) {
      return;
    }
    const isNew = this._known.size === 0;
    this._take(newest);
    if (isNew && !this.isFiltered) {
      void this.more();
      return;
    }
    const ids = new Set(newest.map(run => run.id));
    const old = [...this._known.values()].filter(run => !isFinal(run.status) && !ids.has(run.id));
    for (const run of old.slice(0, OLD_AT_WORK)) {
      this.model.api.run(run.id).then(
        found => {
          this._take([found]);
        },
        () => undefined
      );
    }
  }

  private _take(runs: readonly Run[]): void {
    for (const run of runs) {
      const known = this._known.get(run.id);
      // Answers come in any order; whatever changes a run is an event of it.
      if (!known || run.last_seq >= known.last_seq) {
        this._known.set(run.id, run);
      }
    }
    this._show();
  }

  private _show(): void {
    if (this._disposed) {
      return;
    }
    const { agent, status, trigger } = this._filters;
    const text = this._filters.text.trim().toLowerCase();
    // An id begins with its time.
    this._shown = [...this._known.values()]
      .filter(
        run =>
          (!agent || run.agent_id === agent) &&
          (!status || run.status === status) &&
          (!trigger || run.trigger === trigger) &&
          (!text || run.prompt.toLowerCase().includes(text))
      )
      .sort((one, other) => (one.id < other.id ? 1 : -1));
    this._changed.emit();
  }

  private _set(state: { loading: boolean; error?: string }): void {
    this._loading = state.loading;
    this._error = state.error ?? this._error;
    if (!this._disposed) {
      this._changed.emit();
    }
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _known = new Map<string, Run>();
  private _shown: readonly Run[] = [];
  private _filters: IFilters = NONE;
  /** Where the next page begins; empty for the first, null after the last. */
  private _next: string | null = '';
  private _turn = 0;
  private _loading = false;
  private _error = '';
  private _disposed = false;
}
