/** The nouns of the API, from the server's own OpenAPI document (`openapi.ts`, made by `python tools/install.py panel-types`). */

import type { components } from './openapi';

type Schemas = components['schemas'];

/** An answer has every field: what has a default may only be left out in a request. */
type Whole<T> = T extends (infer Item)[]
  ? Whole<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Whole<Exclude<T[Key], undefined>> }
    : T;

export type Agent = Whole<Schemas['Agent']>;
export type AgentCreate = Schemas['AgentCreate'];
/** What a person writes down of an agent. */
export type AgentSpec = Whole<Schemas['AgentSpec']>;
export type PermissionMode = Schemas['PermissionMode'];
/** The fields to change, with the revision that was seen. */
export type AgentUpdate = { revision: number } & Partial<Schemas['AgentSpec']>;
export type Comparison = Whole<Schemas['Comparison']>;
export type Run = Whole<Schemas['Run']>;
export type RunStatus = Schemas['RunStatus'];
export type RunCreate = Schemas['RunCreate'];
export type RunEvent = Whole<Schemas['Event']>;
export type Delta = Whole<Schemas['Delta']>;
export type Approval = Whole<Schemas['Approval']>;
export type ApprovalDecision = Schemas['ApprovalDecision'];
export type BudgetLeft = Whole<Schemas['BudgetLeft']>;
export type Health = Whole<Schemas['Health']>;
/** That an agent is shared with somebody; `notice` is only of one that was just made. */
export type Share = Whole<Schemas['Share']> & { notice?: string | null };
export type ShareAccess = Schemas['ShareAccess'];
export type ShareKind = Schemas['ShareKind'];
/** An agent that somebody shares with the person. */
export type SharedAgent = Whole<Schemas['SharedAgent']>;
export type SubagentFile = Schemas['SubagentFile'];
export type ConversationMessage = Schemas['Message'];
export type ConversationAnswer = Whole<Schemas['Answer']>;

/** A part of a list, and the cursor of the part after it. */
export interface IPage<T> {
  items: T[];
  next: string | null;
}

const FINAL: ReadonlySet<RunStatus> = new Set(['succeeded', 'failed', 'cancelled', 'interrupted']);

/** Whether nothing more happens to a run by itself. */
export function isFinal(status: RunStatus): boolean {
  return FINAL.has(status);
}
