/** Tells a person that something waits for them: a toast, and outside the browser while they do something else. */

import { Notification as Toast } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import type { IAgentsModel } from '../tokens';
import type { Approval } from '../types';
import { callOf, summaryOf } from './call';

/** `ask`: offer it with a toast, until the person has said yes or no. */
export type DesktopChoice = 'ask' | 'on' | 'off';

export interface INotifierOptions {
  /** Shows the inbox, with this call open. */
  show: (approvalId: string) => void;
  /** Whether the person has the inbox before them. */
  isSeen: () => boolean;
  choice: () => DesktopChoice;
  choose: (choice: DesktopChoice) => void;
}

const TOAST_MS = 15_000;
const MOST = 3;

export class Notifier implements IDisposable {
  constructor(
    private readonly model: IAgentsModel,
    private readonly trans: TranslationBundle,
    private readonly options: INotifierOptions
  ) {
    model.approvals.changed.connect(this._onApprovals, this);
    this._onApprovals();
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    this._told.forEach(forget => {
      forget();
    });
    this._told.clear();
    Signal.clearData(this);
  }

  private _onApprovals(): void {
    const waiting = this.model.approvals.value;
    if (!waiting) {
      return;
    }
    for (const [id, forget] of [...this._told]) {
      if (!waiting.some(one => one.id === id)) {
        forget();
        this._told.delete(id);
      }
    }
    // What waited before the page was opened is at the badge.
    const fresh = this._known ? waiting.filter(one => !this._known?.has(one.id)) : [];
    this._known = new Set(waiting.map(one => one.id));
    for (const approval of fresh.slice(0, MOST)) {
      this._tell(approval);
    }
  }

  private _tell(approval: Approval): void {
    const { trans, options } = this;
    const agent =
      this.model.agents.value?.find(one => one.id === approval.agent_id)?.name ?? approval.agent_id;
    const title = trans.__('%1 is waiting for you', agent);
    const what = summaryOf(callOf(approval));
    const forget: (() => void)[] = [];
    const isAway = document.hidden || !document.hasFocus();
    if (isAway && options.choice() !== 'off' && permission() === 'granted') {
      // Several tabs of JupyterLab tell the same once, by the tag.
      const note = new Notification(title, { body: `${approval.tool}: ${what}`, tag: approval.id });
      note.onclick = () => {
        window.focus();
        options.show(approval.id);
        note.close();
      };
      forget.push(() => {
        note.close();
      });
    }
    if (isAway || !options.isSeen()) {
      const toast = Toast.emit(`${title}: ${what}`, 'info', {
        autoClose: TOAST_MS,
        actions: [
          {
            label: trans.__('Show'),
            displayType: 'accent',
            callback: () => {
              options.show(approval.id);
            }
          },
          ...this._offer()
        ]
      });
      forget.push(() => {
        Toast.dismiss(toast);
      });
    }
    this._told.set(approval.id, () => {
      forget.forEach(one => {
        one();
      });
    });
  }

  /** The polite question: only where the browser has not been asked yet, and nothing happens without a click. */
  private _offer(): Toast.IAction[] {
    const { trans, options } = this;
    if (options.choice() !== 'ask' || permission() !== 'default') {
      return [];
    }
    return [
      {
        label: trans.__('Also tell me in the background'),
        caption: trans.__('Your browser then asks you whether this page may show notifications'),
        callback: () => {
          void Notification.requestPermission().then(answer => {
            if (answer !== 'default') {
              options.choose(answer === 'granted' ? 'on' : 'off');
            }
          });
        }
      }
    ];
  }

  private readonly _told = new Map<string, () => void>();
  private _known: Set<string> | null = null;
  private _disposed = false;
}

/** What the browser allows; `denied` also where it has no notifications, such as without HTTPS. */
function permission(): NotificationPermission {
  return 'Notification' in window ? Notification.permission : 'denied';
}
