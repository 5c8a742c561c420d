/** The inbox as a widget: a section of the panel, or a document of the main area where there is more room. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import { CommandIDs } from '../commands';
import { Section } from '../section';
import type { IAgentsModel } from '../tokens';
import { Inbox } from './inbox';
import { InboxView } from './view';

/** Milliseconds after which "a minute ago" is said anew. */
const TICK = 20_000;

export class InboxWidget extends Section {
  constructor(
    private readonly model: IAgentsModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle,
    private readonly read: (path: string) => Promise<string | null>,
    private readonly place: 'panel' | 'document'
  ) {
    super(place === 'panel' ? 'approvals' : 'inbox', trans.__('Approvals'));
    this.addClass('jp-AgentsInbox');
    this.addClass(`jp-mod-${place}`);
    this.inbox = new Inbox(model, trans);
    this.inbox.changed.connect(() => {
      this.update();
    });
    this._timer = setInterval(() => {
      this.update();
    }, TICK);
  }

  /** Whether the person's keys go here. */
  get hasFocus(): boolean {
    return this.node.contains(document.activeElement);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      clearInterval(this._timer);
      this.inbox.dispose();
      super.dispose();
    }
  }

  protected override render(): ReactElement {
    return (
      <InboxView
        inbox={this.inbox}
        model={this.model}
        commands={this.commands}
        trans={this.trans}
        read={this.read}
        enlarge={this.place === 'panel' ? this._enlarge : null}
      />
    );
  }

  protected override onActivateRequest(): void {
    const current = this.inbox.current;
    if (current) {
      this.inbox.select(current.id);
    } else {
      super.onActivateRequest();
    }
  }

  private readonly _enlarge = (): void => {
    void this.commands.execute(CommandIDs.openInbox, { approvalId: this.inbox.current?.id ?? null });
  };

  readonly inbox: Inbox;
  private readonly _timer: ReturnType<typeof setInterval>;
}
