/** Agents as files on the person's own computer: Claude Code's subagent files, or JSON. */

import type { AgentsApi } from '../api';
import { RequestError } from '../request';
import type { Agent, AgentCreate } from '../types';
import { specOf } from './draft';

/** Far more than the longest agent; the server takes no more of a subagent file. */
const MOST_BYTES = 4_000_000;

export const ACCEPTED = '.md,.json';

/** What came of one file. */
export interface IImported {
  file: string;
  made: readonly Agent[];
  error: string;
}

/** Have the browser save a text as a file. */
export function save(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  document.body.appendChild(link);
  link.click();
  link.remove();
  URL.revokeObjectURL(url);
}

/** The agent as JSON, as `importFile` and `POST api/agents` take it. */
export function asJson(agent: Agent): string {
  return `${JSON.stringify({ id: agent.id, ...specOf(agent) }, null, 2)}\n`;
}

/** Let the person choose files. */
export function chooseFiles(): Promise<readonly File[]> {
  return new Promise(resolve => {
    const input = document.createElement('input');
    input.type = 'file';
    input.multiple = true;
    input.accept = ACCEPTED;
    input.addEventListener('change', () => {
      resolve([...(input.files ?? [])]);
    });
    input.addEventListener('cancel', () => {
      resolve([]);
    });
    input.click();
  });
}

/** Make the agents of a file. One whose id is taken gets another: nothing is overwritten. */
export async function importFile(api: AgentsApi, file: File, tooLarge: string): Promise<IImported> {
  const made: Agent[] = [];
  try {
    if (file.size > MOST_BYTES) {
      throw new Error(tooLarge);
    }
    const text = await file.text();
    const found = /\.json$/i.test(file.name) ? ofJson(text) : [await api.readSubagent(text)];
    for (const agent of found) {
      made.push(await make(api, agent));
    }
    return { file: file.name, made, error: '' };
  } catch (error) {
    return { file: file.name, made, error: error instanceof Error ? error.message : String(error) };
  }
}

async function make(api: AgentsApi, agent: AgentCreate): Promise<Agent> {
  try {
    return await api.createAgent(agent);
  } catch (error) {
    if (error instanceof RequestError && error.code === 'already_exists') {
      return api.createAgent({ ...agent, id: null });
    }
    throw error;
  }
}

/** One agent, or a list of them; what only the server says of an agent is left out, and it judges the rest. */
export function ofJson(text: string): AgentCreate[] {
  const value = JSON.parse(text) as unknown;
  return (Array.isArray(value) ? (value as unknown[]) : [value]).map(one => {
    const {
      owner: _owner,
      revision: _revision,
      created_at: _made,
      updated_at: _changed,
      ...agent
    } = Object(one) as Record<string, unknown>;
    return agent as unknown as AgentCreate;
  });
}
