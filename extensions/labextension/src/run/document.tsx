/** A run as it is seen: plain for now, words as they come and events by name. */

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import type { FeedItem, RunFeed } from '../events';
import { statusWord } from '../status/words';
import type { IAgentsModel } from '../tokens';
import type { Run, RunEvent } from '../types';

export class RunDocument extends ReactWidget {
  constructor(
    model: IAgentsModel,
    readonly runId: string,
    protected readonly rendermime: IRenderMimeRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-AgentsRun');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'document');
    this.title.label = trans.__('Run');
    this.feed = model.follow(runId);
    this.feed.received.connect(this._onReceived, this);
    this.feed.stateChanged.connect(() => {
      this.update();
    }, this);
    this.feed.start();
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.feed.dispose();
      super.dispose();
    }
  }

  protected override render(): ReactElement {
    const { trans, feed } = this;
    return (
      <div className="jp-AgentsRun-content">
        <header>
          <strong>{this._run?.prompt}</strong>{' '}
          <span className="jp-Agents-status" data-status={this._run?.status} role="status">
            {this._run && statusWord(this._run.status, trans)}
          </span>
        </header>
        {feed.state === 'offline' && (
          <p className="jp-Agents-offline" role="status">
            {trans.__('The connection is lost. The run goes on, and so does this page when it is back.')}
          </p>
        )}
        {feed.state === 'failed' && <p role="alert">{feed.error?.message}</p>}
        <div role="log" aria-label={trans.__('What the agent says')}>
          {this._said.map(said => (
            <p key={said.seq}>{said.text}</p>
          ))}
          {this._live && <p className="jp-AgentsRun-live">{this._live}</p>}
        </div>
        {this._run?.error && <p role="alert">{this._run.error.message}</p>}
      </div>
    );
  }

  private _onReceived(_: RunFeed, items: readonly FeedItem[]): void {
    for (const item of items) {
      switch (item.type) {
        case 'run':
        case 'end':
          this._run = item.data;
          this.title.label = item.data.agent_id;
          this.title.caption = item.data.prompt;
          break;
        case 'delta':
          if (item.data.kind === 'text') {
            this._live += item.data.text;
          }
          break;
        case 'reconnected':
          this._live = '';
          break;
        case 'event':
          this._onEvent(item.data);
          break;
      }
    }
    this.update();
  }

  private _onEvent(event: RunEvent): void {
    const text = textOf(event);
    if (text) {
      this._live = '';
      this._said.push({ seq: event.seq, text });
    }
  }

  readonly feed: RunFeed;
  private readonly _said: { seq: number; text: string }[] = [];
  private _live = '';
  private _run: Run | null = null;
}

/** The words of an assistant's message. */
function textOf(event: RunEvent): string {
  if (event.type !== 'message' || event.payload['type'] !== 'assistant') {
    return '';
  }
  const message = event.payload['message'] as { content?: { type?: string; text?: string }[] } | undefined;
  return (message?.content ?? [])
    .filter(block => block.type === 'text')
    .map(block => block.text ?? '')
    .join('\n');
}
