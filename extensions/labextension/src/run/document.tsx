/** A run as a document: what was asked, what the agent says and does, and what can be said to it. */

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { ReactElement } from 'react';
import { useEffect, useRef, useSyncExternalStore } from 'react';

import type { IAgentsModel } from '../tokens';
import { Composer } from './composer';
import { Header } from './header';
import { Log } from './log';
import { asMarkdown } from './markdown';
import { MarkdownPainter, Painter } from './markup';
import type { ITools } from './parts';
import { Tools } from './parts';
import { Thread } from './thread';

export class RunDocument extends ReactWidget {
  constructor(
    private readonly model: IAgentsModel,
    runId: string,
    rendermime: IRenderMimeRegistry,
    private readonly trans: TranslationBundle,
    openFile: (path: string, line?: number) => void
  ) {
    super();
    this.addClass('jp-AgentsRun');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'document');
    this.title.label = trans.__('Run');
    this.thread = new Thread(model, runId);
    this._tools = { model, trans, openFile, folds: new Map() };
    this._painter = new MarkdownPainter(rendermime);
    this.thread.changed.connect(this._onThread, this);
    model.agents.changed.connect(this._onThread, this);
  }

  /** The run that is shown: the newest, when it was continued here. */
  get runId(): string {
    return this.thread.current.runId;
  }

  /** Another run is shown: one that continues what was shown before. */
  get runChanged(): ISignal<this, string> {
    return this._runChanged;
  }

  /** Say more to the agent. Rejects with RequestError. */
  async say(text: string): Promise<void> {
    const { run } = this.thread;
    if (run?.status === 'succeeded') {
      const next = await this.model.api.continueRun(run, text);
      this.thread.goOn(next);
      this._runChanged.emit(next.id);
      void this.model.runs.refresh();
    } else {
      await this.resume(text);
    }
  }

  /** Go on with a run that stopped before its end. Rejects with RequestError. */
  async resume(prompt?: string): Promise<void> {
    const { current } = this.thread;
    current.take(await this.model.api.resumeRun(current.runId, prompt));
    void this.model.runs.refresh();
  }

  asMarkdown(): string {
    const { run, blocks } = this.thread;
    return run ? asMarkdown(run, blocks, this.trans) : '';
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.model.agents.changed.disconnect(this._onThread, this);
      this.thread.dispose();
      super.dispose();
    }
  }

  protected override render(): ReactElement {
    return (
      <Tools.Provider value={this._tools}>
        <Painter.Provider value={this._painter}>
          <Whole thread={this.thread} say={text => this.say(text)} />
        </Painter.Provider>
      </Tools.Provider>
    );
  }

  protected override onActivateRequest(): void {
    const log = this.node.querySelector<HTMLElement>('[role="log"]');
    (log ?? this.node).focus({ preventScroll: true });
  }

  private _onThread(): void {
    const { run } = this.thread;
    if (run) {
      const agent = this.model.agents.value?.find(one => one.id === run.agent_id);
      this.title.label = agent?.name ?? run.agent_id;
      this.title.caption = run.prompt;
    }
  }

  readonly thread: Thread;
  private readonly _tools: ITools;
  private readonly _painter: MarkdownPainter;
  private readonly _runChanged = new Signal<this, string>(this);
}

function Whole(props: { thread: Thread; say: (text: string) => Promise<void> }): ReactElement {
  const { thread } = props;
  useSyncExternalStore(
    notify => {
      thread.changed.connect(notify);
      return () => thread.changed.disconnect(notify);
    },
    () => thread.version
  );
  const whole = useRef<HTMLDivElement>(null);
  const isEmpty = thread.blocks.length === 0 && thread.live.length === 0;
  useEffect(() => {
    // Who opened the run before there was anything to read has the focus at the document: their keys are to scroll.
    const node = whole.current;
    if (!isEmpty && node && document.activeElement === node.closest('.jp-AgentsRun')) {
      node.querySelector<HTMLElement>('[role="log"]')?.focus({ preventScroll: true });
    }
  }, [isEmpty]);
  return (
    <div className="jp-AgentsRun-whole" ref={whole}>
      <Header thread={thread} />
      <Log thread={thread} />
      <Composer thread={thread} say={props.say} />
    </div>
  );
}
