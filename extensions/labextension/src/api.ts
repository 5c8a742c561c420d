/** Every route of the workspace's API that the panel uses, typed. Errors are `RequestError`. */

import type { ServerConnection } from '@jupyterlab/services';

import type { IRequest } from './request';
import { request } from './request';
import type {
  Agent,
  AgentCreate,
  AgentUpdate,
  Approval,
  ApprovalDecision,
  BudgetLeft,
  Comparison,
  ConversationAnswer,
  ConversationMessage,
  Health,
  IPage,
  Run,
  RunCreate,
  RunEvent,
  RunStatus,
  SubagentFile
} from './types';

export interface IRunsQuery {
  agent?: string;
  conversation?: string;
  status?: readonly RunStatus[];
  limit?: number;
  before?: string;
}

export interface IEventsPage {
  items: RunEvent[];
  next: number | null;
  run: Run;
}

export class AgentsApi {
  constructor(readonly settings: ServerConnection.ISettings) {}

  agents(query: { limit?: number; after?: string } = {}): Promise<IPage<Agent>> {
    return this.ask('api/agents', { query });
  }

  agent(id: string, revision?: number): Promise<Agent> {
    return this.ask(agentPath(id), { query: { revision } });
  }

  createAgent(agent: AgentCreate): Promise<Agent> {
    return this.ask('api/agents', { method: 'POST', body: agent });
  }

  updateAgent(id: string, changes: AgentUpdate): Promise<Agent> {
    return this.ask(agentPath(id), { method: 'PATCH', body: changes });
  }

  deleteAgent(id: string, revision: number): Promise<void> {
    return this.ask(agentPath(id), { method: 'DELETE', query: { revision } });
  }

  revisions(id: string, query: { limit?: number; before?: string } = {}): Promise<IPage<Agent>> {
    return this.ask(`${agentPath(id)}/revisions`, { query });
  }

  compare(id: string, revision: number, against?: number): Promise<Comparison> {
    return this.ask(`${agentPath(id)}/revisions/${revision}/diff`, { query: { against } });
  }

  restore(id: string, revision: number, seen: number): Promise<Agent> {
    return this.ask(`${agentPath(id)}/revisions/${revision}/restore`, {
      method: 'POST',
      body: { revision: seen }
    });
  }

  /** The agent as Claude Code's subagent file. */
  subagentFile(id: string): Promise<SubagentFile> {
    return this.ask(`${agentPath(id)}/subagent`);
  }

  /** The agent that a subagent file describes; none is made. */
  readSubagent(text: string): Promise<AgentCreate> {
    return this.ask('api/subagents', { method: 'POST', body: { text } });
  }

  startRun(agentId: string, run: RunCreate): Promise<Run> {
    return this.ask(`${agentPath(agentId)}/runs`, { method: 'POST', body: { trigger: 'browser', ...run } });
  }

  runs(query: IRunsQuery = {}): Promise<IPage<Run>> {
    return this.ask('api/runs', { query: { ...query } });
  }

  run(id: string): Promise<Run> {
    return this.ask(runPath(id));
  }

  cancelRun(id: string): Promise<Run> {
    return this.ask(`${runPath(id)}/cancel`, { method: 'POST', body: {} });
  }

  resumeRun(id: string, prompt?: string): Promise<Run> {
    return this.ask(`${runPath(id)}/resume`, { method: 'POST', body: prompt ? { prompt } : {} });
  }

  /** Say more to the agent of a run that succeeded: a new run in the same session. */
  continueRun(run: Pick<Run, 'id' | 'agent_id' | 'agent_owner'>, prompt: string): Promise<Run> {
    const body: RunCreate = { prompt, continues: run.id, trigger: 'browser' };
    const owner = run.agent_owner;
    const path = owner
      ? `api/shared/${encodeURIComponent(owner)}/${encodeURIComponent(run.agent_id)}`
      : agentPath(run.agent_id);
    return this.ask(`${path}/runs`, { method: 'POST', body });
  }

  /** Have the terminal ready for a run's session; answers with its path below the base URL. */
  openTerminal(id: string): Promise<{ path: string }> {
    return this.ask(`${runPath(id)}/terminal`, { method: 'POST', body: {} });
  }

  events(id: string, query: { after?: number; limit?: number } = {}): Promise<IEventsPage> {
    return this.ask(eventsPath(id), { query });
  }

  approvals(
    query: { run?: string; waiting?: boolean; limit?: number; before?: string } = {}
  ): Promise<IPage<Approval>> {
    return this.ask('api/approvals', { query });
  }

  decide(id: string, decision: ApprovalDecision): Promise<Approval> {
    return this.ask(`api/approvals/${encodeURIComponent(id)}/decide`, { method: 'POST', body: decision });
  }

  converse(message: ConversationMessage): Promise<ConversationAnswer> {
    return this.ask('api/conversation', { method: 'POST', body: message });
  }

  /** How a turn of a conversation stands; the newest one, when none is named. */
  turn(conversationId: string, runId?: string): Promise<ConversationAnswer> {
    return this.ask('api/conversation', { query: { conversationId, runId } });
  }

  budget(): Promise<BudgetLeft> {
    return this.ask('api/budget');
  }

  /** Also when the workspace cannot work: `problems` say why. */
  health(): Promise<Health> {
    return this.ask('api/agents-health', { accept: 503 });
  }

  /** For a route that has no method here yet. */
  ask<T>(path: string, options: IRequest = {}): Promise<T> {
    return request<T>(this.settings, path, options);
  }
}

function agentPath(id: string): string {
  return `api/agents/${encodeURIComponent(id)}`;
}

function runPath(id: string): string {
  return `api/runs/${encodeURIComponent(id)}`;
}

/** Where a run's events are read and followed. */
export function eventsPath(id: string): string {
  return `${runPath(id)}/events`;
}
