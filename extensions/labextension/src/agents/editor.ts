/** One agent that is being written: what is in its fields, what is wrong with it, and what came of saving it. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { AgentsApi } from '../api';
import { RequestError } from '../request';
import type { Agent, AgentSpec, Comparison } from '../types';
import type { IDraft, Problems } from './draft';
import { changes, draftOf, refused, specOf, written } from './draft';
import type { Limits } from './limits';
import { fetchLimits } from './limits';

/** Somebody else changed the agent meanwhile. */
export interface IConflict {
  theirs: Agent;
  /** What they changed since the revision that was being edited. */
  comparison: Comparison;
}

export class AgentEditor implements IDisposable {
  constructor(
    private readonly api: AgentsApi,
    agent: Agent | null,
    private readonly trans: TranslationBundle
  ) {
    this._base = agent;
    this._draft = this._clean = draftOf(agent ? specOf(agent) : undefined);
    this._asked = fetchLimits(api).then(
      limits => {
        this._limits = limits;
        this._tell();
      },
      // Without them only the server judges, and it says the same a moment later.
      () => undefined
    );
  }

  /** Anything is another. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** What was saved last. */
  get saved(): ISignal<this, Agent> {
    return this._saved;
  }

  /** The revision that is being edited; null for a new agent. */
  get base(): Agent | null {
    return this._base;
  }

  get draft(): IDraft {
    return this._draft;
  }

  /** Of fields that were left, or of all once saving was tried. */
  get problems(): Problems {
    const { problems } = this._written();
    const shown = Object.entries(problems).filter(([field]) => this._tried || this._left.has(field));
    return { ...Object.fromEntries(shown), ...this._refused };
  }

  get conflict(): IConflict | null {
    return this._conflict;
  }

  /** Why saving failed, where no field is to blame. */
  get error(): string {
    return this._error;
  }

  get busy(): boolean {
    return this._busy;
  }

  get dirty(): boolean {
    return JSON.stringify(this._draft) !== JSON.stringify(this._clean);
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    Signal.clearData(this);
  }

  set(fields: Partial<IDraft>): void {
    this._draft = { ...this._draft, ...fields };
    this._refused = {};
    this._tell();
  }

  /** The person has left a field: what is wrong with it may be said now. */
  leave(field: string): void {
    this._left.add(field);
    this._tell();
  }

  /** The newest revision is another: shown at once when nothing is lost by that. */
  see(agent: Agent): void {
    if (this._base && agent.revision > this._base.revision && !this.dirty && !this._busy && !this._conflict) {
      this._take(agent);
    }
  }

  /** Save; null when it was not saved, and then `problems`, `conflict` or `error` say why. */
  async save(): Promise<Agent | null> {
    if (this._busy) {
      return null;
    }
    this._tried = true;
    this._busy = true;
    this._error = '';
    this._refused = {};
    this._tell();
    try {
      // What is wrong is said in the same words, however soon somebody saves.
      await this._asked;
      const { spec, problems } = this._written();
      if (Object.keys(problems).length) {
        return null;
      }
      const agent = await this._store(spec);
      this._take(agent);
      this._saved.emit(agent);
      return agent;
    } catch (error) {
      await this._onFailure(error);
      return null;
    } finally {
      this._busy = false;
      this._tell();
    }
  }

  /** Save over what somebody else saved: fields that were not changed here stay as theirs. */
  async overwrite(): Promise<Agent | null> {
    const theirs = this._conflict?.theirs;
    if (!theirs) {
      return null;
    }
    this._newest = theirs.revision;
    this._conflict = null;
    return this.save();
  }

  /** Forget what was written here, and edit what somebody else saved. */
  reload(): void {
    if (this._conflict) {
      this._take(this._conflict.theirs);
    }
  }

  private _written(): { spec: AgentSpec; problems: Problems } {
    return written(this._draft, this._base && specOf(this._base), this._limits, this.trans);
  }

  private _store(spec: AgentSpec): Promise<Agent> {
    if (!this._base) {
      return this.api.createAgent({ ...spec, id: this._draft.id.trim() || null });
    }
    const revision = this._newest ?? this._base.revision;
    return this.api.updateAgent(this._base.id, { revision, ...changes(specOf(this._base), spec) });
  }

  private _take(agent: Agent): void {
    this._base = agent;
    this._draft = this._clean = draftOf(specOf(agent));
    this._conflict = null;
    this._newest = null;
    this._error = '';
    this._refused = {};
    this._tried = false;
    this._left.clear();
    this._tell();
  }

  private async _onFailure(error: unknown): Promise<void> {
    this._newest = null;
    if (!(error instanceof RequestError)) {
      this._error = String(error);
      return;
    }
    if (error.code === 'stale_revision' && this._base) {
      try {
        const theirs = await this.api.agent(this._base.id);
        const comparison = await this.api.compare(theirs.id, theirs.revision, this._base.revision);
        this._conflict = { theirs, comparison };
        return;
      } catch {
        // What the server said first is the better explanation.
      }
    }
    if (error.code === 'already_exists') {
      this._refused = { id: error.message };
      return;
    }
    const { problems, rest } =
      error.status === 400 ? refused(error.message) : { problems: {}, rest: error.message };
    this._refused = problems;
    this._error = rest;
  }

  private _tell(): void {
    if (!this._disposed) {
      this._changed.emit();
    }
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _saved = new Signal<this, Agent>(this);
  private readonly _left = new Set<string>();
  private _base: Agent | null;
  private _draft: IDraft;
  private _clean: IDraft;
  private readonly _asked: Promise<void>;
  private _limits: Limits = {};
  private _refused: Problems = {};
  private _conflict: IConflict | null = null;
  private _newest: number | null = null;
  private _error = '';
  private _tried = false;
  private _busy = false;
  private _disposed = false;
}
