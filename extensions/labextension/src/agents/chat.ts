/** A conversation with the assistant that makes agents: its turns, which are runs, and what came of each. */

import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { FeedItem, RunFeed } from '../events';
import { insist } from '../insist';
import type { IAgentsModel } from '../tokens';
import type { ConversationAnswer, Run, RunStatus } from '../types';
import { isFinal } from '../types';

export interface ITurn {
  runId: string;
  /** What the person said. */
  said: string;
  /** What the assistant says so far. */
  text: string;
  status: RunStatus;
  /** Whether it is at work, as far as is known. */
  isOpen: boolean;
  /** What came of it; null before that is known. */
  answer: ConversationAnswer | null;
}

const MOST_TURNS = 200;

export class Chat implements IDisposable {
  constructor(
    private readonly model: IAgentsModel,
    conversationId: string | null = null
  ) {
    this._id = conversationId;
    if (conversationId) {
      void this._load(conversationId);
    }
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Null before the first answer. */
  get id(): string | null {
    return this._id;
  }

  get turns(): readonly ITurn[] {
    return this._turns;
  }

  /** Whether a turn is at work: the next is said after its end. */
  get busy(): boolean {
    return this._sending || this._turns.some(turn => turn.isOpen);
  }

  get offline(): boolean {
    return this._feed?.state === 'offline';
  }

  get error(): string {
    return this._error;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    this._over.abort();
    this._feed?.dispose();
    Signal.clearData(this);
  }

  /** Say something. Whether the server took it. */
  async say(message: string): Promise<boolean> {
    if (this.busy) {
      return false;
    }
    this._sending = true;
    this._error = '';
    this._tell();
    try {
      const { conversationId, runId, status } = await this.model.api.converse({
        message,
        conversationId: this._id,
        wait: 0
      });
      this._id = conversationId;
      this._turns = [...this._turns, { runId, said: message, text: '', status, isOpen: true, answer: null }];
      this._follow(runId);
      return true;
    } catch (error) {
      this._error = error instanceof Error ? error.message : String(error);
      return false;
    } finally {
      this._sending = false;
      this._tell();
    }
  }

  /** Stop the turn that is at work. */
  async stop(): Promise<void> {
    const turn = this._turns.find(one => one.isOpen);
    if (turn) {
      await this.model.api.cancelRun(turn.runId).catch(() => undefined);
    }
  }

  private async _load(conversationId: string): Promise<void> {
    this._sending = true;
    const page = await this._insist(() =>
      this.model.api.runs({ conversation: conversationId, limit: MOST_TURNS })
    );
    this._sending = false;
    this._turns = [...(page?.items ?? [])].reverse().map(run => ({
      runId: run.id,
      said: run.prompt,
      text: '',
      status: run.status,
      isOpen: !isFinal(run.status),
      answer: null
    }));
    for (const { runId, isOpen } of this._turns) {
      if (isOpen) {
        this._follow(runId);
      } else {
        void this._ask(runId);
      }
    }
    this._tell();
  }

  private _follow(runId: string): void {
    this._feed?.dispose();
    const feed = (this._feed = this.model.follow(runId));
    let told = '';
    let live = '';
    feed.received.connect((_: RunFeed, items: readonly FeedItem[]) => {
      for (const item of items) {
        if (item.type === 'delta' && item.data.kind === 'text') {
          live += item.data.text;
        } else if (item.type === 'reconnected') {
          live = '';
        } else if (item.type === 'event') {
          const text = textOf(item.data.payload);
          if (text) {
            told += (told && '\n\n') + text;
            live = '';
          }
        } else if (item.type === 'run') {
          this._put(runId, { status: item.data.status });
        } else if (item.type === 'end') {
          void this._end(runId, item.data);
        }
      }
      this._put(runId, { text: told && live ? `${told}\n\n${live}` : told + live });
    });
    feed.stateChanged.connect(() => {
      if (feed.state === 'failed') {
        this._error = feed.error?.message ?? '';
        this._put(runId, { isOpen: false });
      }
      this._tell();
    });
    feed.start();
  }

  private async _end(runId: string, { status }: Run): Promise<void> {
    this._put(runId, { status, isOpen: false });
    const answer = await this._ask(runId);
    if (answer && (answer.agentCreated || answer.component.type !== 'text')) {
      await this.model.agents.refresh();
    }
  }

  /** Ask what came of a turn that has ended; null when that is not to be had. */
  private async _ask(runId: string): Promise<ConversationAnswer | null> {
    const answer = await this._insist(() => this.model.api.turn(this._id ?? '', runId));
    if (answer) {
      this._put(runId, { answer });
    }
    return answer;
  }

  /** Ask until there is an answer, and say why there is none; null when the server refused, or nobody waits any more. */
  private async _insist<T>(ask: () => Promise<T>): Promise<T | null> {
    let said = '';
    const say = (failure: unknown): void => {
      this._error = said = failure instanceof Error ? failure.message : String(failure);
      this._tell();
    };
    try {
      const answer = await insist(ask, this._over.signal, say);
      if (said && this._error === said) {
        this._error = '';
        this._tell();
      }
      return answer;
    } catch (refusal) {
      say(refusal);
      return null;
    }
  }

  private _put(runId: string, fields: Partial<ITurn>): void {
    this._turns = this._turns.map(turn =>
      turn.runId === runId && turn.answer === null ? { ...turn, ...fields } : turn
    );
    this._tell();
  }

  private _tell(): void {
    if (!this._disposed) {
      this._changed.emit();
    }
  }

  private readonly _changed = new Signal<this, void>(this);
  private _id: string | null;
  private _turns: readonly ITurn[] = [];
  private _feed: RunFeed | null = null;
  private _error = '';
  private readonly _over = new AbortController();
  private _sending = false;
  private _disposed = false;
}

/** The words of an assistant's message. */
function textOf(payload: Record<string, unknown>): string {
  if (payload['type'] !== 'assistant') {
    return '';
  }
  const message = payload['message'] as { content?: { type?: string; text?: string }[] } | undefined;
  return (message?.content ?? [])
    .filter(block => block.type === 'text')
    .map(block => block.text ?? '')
    .join('\n\n');
}
