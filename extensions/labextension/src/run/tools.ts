/** What is known of Claude Code's own tools: which edit files, and what to say of a call in one line. */

import type { ICall } from './blocks';

export const EDITS: ReadonlySet<string> = new Set(['Edit', 'MultiEdit', 'Write', 'NotebookEdit']);
/** Subagents; `Task` is the former name. */
export const DELEGATES: ReadonlySet<string> = new Set(['Agent', 'Task']);

/** The fields of a call's input that say what it is about, the first that is there. */
const TELLING = [
  'file_path',
  'notebook_path',
  'description',
  'pattern',
  'path',
  'query',
  'url',
  'command',
  'skill',
  'prompt',
  'subject'
];
const LONGEST = 200;

/** What a call is about, in one line. */
export function summary(call: Pick<ICall, 'tool' | 'input'>): string {
  for (const name of TELLING) {
    const value = call.input[name];
    if (typeof value === 'string' && value) {
      const line = value.split('\n', 1)[0] ?? '';
      return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
    }
  }
  return '';
}

/** The file that a call is about; null when it is about none. */
export function fileOf(call: Pick<ICall, 'input'>): string | null {
  const path = call.input['file_path'] ?? call.input['notebook_path'];
  return typeof path === 'string' && path ? path : null;
}

/** `mcp__server__tool` as people say it: the tool, and whose it is. */
export function nameOf(tool: string): { name: string; server: string | null } {
  const match = /^mcp__(.+?)__(.+)$/.exec(tool);
  return match ? { name: match[2] ?? tool, server: match[1] ?? null } : { name: tool, server: null };
}
