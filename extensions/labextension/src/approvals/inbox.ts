/** What one view of the inbox shows: which calls wait, which one is looked at, and what became of a decision. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { RequestError } from '../request';
import type { IAgentsModel } from '../tokens';
import type { Approval, ApprovalDecision } from '../types';

export type Decision = ApprovalDecision['decision'];

export class Inbox implements IDisposable {
  constructor(
    private readonly model: IAgentsModel,
    private readonly trans: TranslationBundle
  ) {
    model.approvals.changed.connect(this._onApprovals, this);
    this._onApprovals();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** What waits, oldest first. */
  get items(): readonly Approval[] {
    return this._items;
  }

  /** The one that is looked at, and that a key decides. */
  get current(): Approval | null {
    return this._items.find(one => one.id === this._current) ?? null;
  }

  /** What the person has to know of a decision that did not come about. */
  get notice(): string {
    return this._notice;
  }

  /** Whether the person writes why they deny. */
  get isDenying(): boolean {
    return this._denying;
  }

  get isBusy(): boolean {
    return this._busy !== null;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  /** Whether the view is to put the focus on the current call; asked once. */
  takeFocus(): boolean {
    const wanted = this._focus;
    this._focus = false;
    return wanted;
  }

  select(id: string): void {
    if (id !== this._current) {
      this._current = id;
      this._denying = false;
    }
    this._notice = '';
    this._focus = true;
    this._changed.emit();
  }

  /** Go so many calls further down, or up. */
  move(by: number): void {
    const at = this._items.findIndex(one => one.id === this._current);
    const next = this._items[Math.min(Math.max(at + by, 0), this._items.length - 1)];
    if (next) {
      this.select(next.id);
    }
  }

  /** Begin, or give up, to write why the current call is denied. */
  setDenying(denying: boolean): void {
    this._denying = denying && this.current !== null;
    this._focus = !denying;
    this._changed.emit();
  }

  /** Decide the current call. What the server refuses is in `notice`; a call that was decided elsewhere leaves. */
  async decide(decision: Decision, message = ''): Promise<void> {
    const approval = this.current;
    if (!approval || this._busy !== null) {
      return;
    }
    if ((decision === 'run' || decision === 'agent') && !approval.rules.length) {
      this._notice = this.trans.__('No rule describes such calls: this one can be approved once, or denied.');
      this._changed.emit();
      return;
    }
    this._busy = approval.id;
    this._notice = '';
    this._changed.emit();
    const said = message.trim();
    try {
      await this.model.api.decide(approval.id, { decision, ...(said ? { message: said } : {}) });
      this._leave(approval.id);
    } catch (error) {
      if (error instanceof RequestError && (error.status === 409 || error.status === 404)) {
        this._leave(approval.id);
        this._notice = this.trans.__(
          'This was settled elsewhere, and your decision does not count. %1',
          error.message
        );
      } else {
        this._notice = this.trans.__(
          'Not decided: %1',
          error instanceof Error ? error.message : String(error)
        );
      }
    }
    if (!this._disposed) {
      this._busy = null;
      this._changed.emit();
      void this.model.approvals.refresh();
      void this.model.runs.refresh();
    }
  }

  dispose(): void {
    this._disposed = true;
    Signal.clearData(this);
  }

  private _leave(id: string): void {
    this._gone.add(id);
    this._denying = false;
    this._focus = true;
    this._onApprovals();
  }

  private _onApprovals(): void {
    const waiting = this.model.approvals.value ?? [];
    const at = this._items.findIndex(one => one.id === this._current);
    this._items = waiting.filter(one => !this._gone.has(one.id));
    for (const id of [...this._gone]) {
      if (!waiting.some(one => one.id === id)) {
        this._gone.delete(id);
      }
    }
    if (!this.current) {
      if (at >= 0 && this._current !== null && this._current !== this._busy) {
        this._notice = this.trans.__('The call that was shown here was settled elsewhere.');
        this._denying = false;
      }
      // The one that took its place; none is chosen for the person beyond that.
      this._current = (this._items[at] ?? this._items[at - 1] ?? this._items[0])?.id ?? null;
    }
    this._changed.emit();
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _gone = new Set<string>();
  private _items: readonly Approval[] = [];
  private _current: string | null = null;
  private _notice = '';
  private _denying = false;
  private _busy: string | null = null;
  private _focus = false;
  private _disposed = false;
}
