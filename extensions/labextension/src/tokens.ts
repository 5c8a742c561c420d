/** What the panel's plugins, and other extensions, use of each other. */

import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { AgentsApi } from './api';
import type { RunFeed } from './events';
import type { RequestError } from './request';
import type { Agent, Approval, BudgetLeft, Health, Run } from './types';

/** Something that is asked of the server again and again. Never changed in place: a new value is a new object. */
export interface IWatched<T> {
  /** The newest value; null before the first answer. */
  readonly value: T | null;
  /** Why the last request failed; null when it did not. */
  readonly error: RequestError | null;
  /** The value or the error is another. */
  readonly changed: ISignal<IWatched<T>, void>;
  /** Ask now. The promise ends with the answer, or with its failure, which `error` has then; it never rejects. */
  refresh(): Promise<void>;
}

/** All that the widgets show. They hold no state of the server's themselves. */
export interface IAgentsModel extends IDisposable {
  readonly api: AgentsApi;
  /** All agents, by id. */
  readonly agents: IWatched<readonly Agent[]>;
  /** The newest runs, newest first. */
  readonly runs: IWatched<readonly Run[]>;
  /** What waits for the person, oldest first. */
  readonly approvals: IWatched<readonly Approval[]>;
  readonly health: IWatched<Health>;
  /** What is left of the budgets that limit the person. */
  readonly budget: IWatched<BudgetLeft>;
  /** Whether the server answers, as far as is known. */
  readonly online: boolean;
  readonly onlineChanged: ISignal<IAgentsModel, boolean>;
  /** A feed of a run's events, not started; the caller disposes of it. */
  follow(runId: string, after?: number): RunFeed;
}

export const IAgentsModel = new Token<IAgentsModel>(
  '@jupyterhub-agents/labextension:IAgentsModel',
  'Agents, runs and approvals of the person’s workspace, with signals.'
);

/** The panel in the sidebar. */
export interface IAgentsSidebar {
  /** Add a section; a smaller `rank` is further up. */
  addSection(section: Widget, rank: number): void;
  /** Show the panel with this section open. */
  reveal(section: Widget): void;
  /** Show a widget below all sections; a second one takes its place. */
  setFooter(widget: Widget): void;
  /** Show a number at the panel's tab, and say what it is; 0 takes it away. */
  setBadge(count: number, label: string): void;
}

export const IAgentsSidebar = new Token<IAgentsSidebar>(
  '@jupyterhub-agents/labextension:IAgentsSidebar',
  'The Agents panel in the sidebar, to which sections can be added.'
);
