/** A conversation with the assistant that makes agents: its turns, which are runs, and what came of each. */

import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { FeedItem, RunFeed } from '../events';
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
  /** What came of it; null while it is at work. */
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
    return this._sending || this._turns.some(turn => turn.answer === null);
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
      this._turns = [...this._turns, { runId, said: message, text: '', status, answer: null }];
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
    const turn = this._turns.find(one => one.answer === null);
    if (turn) {
      await this.model.api.cancelRun(turn.runId).catch(() => undefined);
    }
  }

  private async _load(conversationId: string): Promise<void> {
    this._sending = true;
    try {
      const { items } = await this.model.api.runs({ conversation: conversationId, limit: MOST_TURNS });
      const runs = [...items].reverse();
      this._turns = await Promise.all(runs.map(run => this._turnOf(conversationId, run)));
      const open = this._turns.find(turn => turn.answer === null);
      if (open && !this._disposed) {
        this._follow(open.runId);
      }
    } catch (error) {
      this._error = error instanceof Error ? error.message : String(error);
    } finally {
      this._sending = false;
      this._tell();
    }
  }

  private async _turnOf(conversationId: string, run: Run): Promise<ITurn> {
    const answer = isFinal(run.status) ? await this.model.api.turn(conversationId, run.id) : null;
    return { runId: run.id, said: run.prompt, text: answer?.text ?? '', status: run.status, answer };
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
      }
      this._tell();
    });
    feed.start();
  }

  private async _end(runId: string, run: Run): Promise<void> {
    try {
      const answer = await this.model.api.turn(this._id ?? '', runId);
      this._put(runId, { status: run.status, answer });
      if (answer.agentCreated || answer.component.type !== 'text') {
        await this.model.agents.refresh();
      }
    } catch (error) {
      this._error = error instanceof Error ? error.message : String(error);
      this._tell();
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
