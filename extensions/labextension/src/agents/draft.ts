/** An agent as it is being written: what is in the fields of the form, to and from what the server keeps. */

import { JSONExt } from '@lumino/coreutils';
import type { ReadonlyJSONValue } from '@lumino/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Agent, AgentSpec, PermissionMode } from '../types';
import type { Limits } from './limits';
import { wrong } from './limits';

/** How an MCP server is reached; `other` is a definition that the form has no fields for, and shows as JSON. */
export type ServerKind = 'stdio' | 'http' | 'sse' | 'other';

export interface IServerDraft {
  name: string;
  kind: ServerKind;
  command: string;
  /** One a line. */
  args: string;
  url: string;
  /** Environment or headers: NAME=value, one a line. */
  pairs: string;
  json: string;
}

export interface IDraft {
  id: string;
  name: string;
  description: string;
  instructions: string;
  model: string;
  allTools: boolean;
  /** One a line, as all lists of rules. */
  tools: string;
  disallowed_tools: string;
  allowed_tools: string;
  permission_mode: PermissionMode;
  servers: readonly IServerDraft[];
  directory: string;
  max_turns: string;
  max_budget_usd: string;
  /** Minutes, though the server counts seconds. */
  timeout: string;
}

export type Field = keyof AgentSpec | 'id';
export type Problems = Readonly<Partial<Record<Field, string>>>;

const FIELDS: readonly (keyof AgentSpec)[] = [
  'name',
  'description',
  'instructions',
  'model',
  'tools',
  'disallowed_tools',
  'allowed_tools',
  'permission_mode',
  'mcp_servers',
  'directory',
  'max_turns',
  'max_budget_usd',
  'timeout_s',
  'front_matter'
];

const EMPTY: AgentSpec = {
  name: '',
  description: '',
  instructions: '',
  model: null,
  tools: null,
  disallowed_tools: [],
  allowed_tools: [],
  permission_mode: 'default',
  mcp_servers: {},
  directory: null,
  max_turns: null,
  max_budget_usd: null,
  timeout_s: null,
  front_matter: {}
};

export const NEW_SERVER: IServerDraft = {
  name: '',
  kind: 'stdio',
  command: '',
  args: '',
  url: '',
  pairs: '',
  json: '{}'
};

/** What a person writes down of an agent, without what the server adds. */
export function specOf(agent: Agent): AgentSpec {
  return Object.fromEntries(FIELDS.map(field => [field, agent[field]])) as unknown as AgentSpec;
}

/** The fields of the form for an agent, or for a new one. */
export function draftOf(spec: AgentSpec = EMPTY): IDraft {
  return {
    id: '',
    name: spec.name,
    description: spec.description,
    instructions: spec.instructions,
    model: spec.model ?? '',
    allTools: spec.tools === null,
    tools: (spec.tools ?? []).join('\n'),
    disallowed_tools: spec.disallowed_tools.join('\n'),
    allowed_tools: spec.allowed_tools.join('\n'),
    permission_mode: spec.permission_mode,
    servers: Object.entries(spec.mcp_servers).map(([name, server]) => serverDraft(name, server)),
    directory: spec.directory ?? '',
    max_turns: textOf(spec.max_turns),
    max_budget_usd: textOf(spec.max_budget_usd),
    timeout: spec.timeout_s === null ? '' : textOf(Number((spec.timeout_s / 60).toPrecision(12)))
  };
}

/** The definition that the fields say, and what is wrong with them. `base` keeps what the form does not show. */
export function written(
  draft: IDraft,
  base: AgentSpec | null,
  limits: Limits,
  trans: TranslationBundle
): { spec: AgentSpec; problems: Problems } {
  const problems: Partial<Record<Field, string>> = {};
  const number = (field: Field, text: string, times = 1): number | null => {
    const trimmed = text.trim();
    const value = Number(trimmed);
    if (trimmed && !Number.isFinite(value)) {
      problems[field] = trans.__('This is not a number.');
    }
    return trimmed && Number.isFinite(value) ? value * times : null;
  };
  const spec: AgentSpec = {
    name: draft.name.trim(),
    description: draft.description,
    instructions: draft.instructions,
    model: draft.model.trim() || null,
    tools: draft.allTools ? null : lines(draft.tools),
    disallowed_tools: lines(draft.disallowed_tools),
    allowed_tools: lines(draft.allowed_tools),
    permission_mode: draft.permission_mode,
    mcp_servers: servers(draft.servers, problems, trans),
    directory: draft.directory.trim() || null,
    max_turns: number('max_turns', draft.max_turns),
    max_budget_usd: number('max_budget_usd', draft.max_budget_usd),
    timeout_s: number('timeout_s', draft.timeout, 60),
    front_matter: base?.front_matter ?? {}
  };
  for (const field of FIELDS) {
    // A limit in seconds would be read as one in minutes.
    const problem =
      field === 'timeout_s'
        ? wrong(spec.timeout_s === null ? null : spec.timeout_s / 60, inMinutes(limits), trans)
        : wrong(spec[field], limits[field], trans);
    if (problem) {
      problems[field] ??= problem;
    }
  }
  const id = draft.id.trim();
  if (id && limits.id && wrong(id, limits.id, trans)) {
    problems.id = trans.__('Take small letters, digits and “-”, such as code-reviewer.');
  }
  return { spec, problems };
}

/** The fields of `after` that are others than in `before`. */
export function changes(before: AgentSpec, after: AgentSpec): Partial<AgentSpec> {
  const found = FIELDS.filter(
    field =>
      !JSONExt.deepEqual(
        before[field] as unknown as ReadonlyJSONValue,
        after[field] as unknown as ReadonlyJSONValue
      )
  );
  return Object.fromEntries(found.map(field => [field, after[field]]));
}

/** What the server says is wrong, by field: `name: ...; tools.0: ....`; `rest` is what belongs to no field. */
export function refused(message: string): { problems: Problems; rest: string } {
  const problems: Partial<Record<Field, string>> = {};
  const rest: string[] = [];
  for (const part of message.split(/; (?=[a-z_]+(?:\.[^:;]*)?: )/)) {
    const match = /^([a-z_]+)(\.[^:;]*)?: ([^]*)$/.exec(part);
    const field = match?.[1] as Field | undefined;
    if (match && field && (field === 'id' || FIELDS.includes(field))) {
      problems[field] ??= match[3] ?? part;
    } else {
      rest.push(part);
    }
  }
  return { problems, rest: rest.join('; ') };
}

export function lines(text: string): string[] {
  return text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line);
}

/** The rules with one of them there, or not. */
export function withRule(text: string, rule: string, there: boolean): string {
  const others = lines(text).filter(line => line !== rule);
  return (there ? [...others, rule] : others).join('\n');
}

function inMinutes(limits: Limits): NonNullable<Limits['timeout_s']> {
  const schema = limits.timeout_s;
  const one = schema?.anyOf?.find(other => other.type !== 'null') ?? schema;
  return one?.maximum === undefined ? { ...one } : { ...one, maximum: one.maximum / 60 };
}

function textOf(value: number | null): string {
  return value === null ? '' : String(value);
}

type Definition = AgentSpec['mcp_servers'][string];

function serverDraft(name: string, server: Definition): IServerDraft {
  const draft = { ...NEW_SERVER, name, json: JSON.stringify(server, null, 2) };
  const {
    type,
    command,
    args = [],
    env = {},
    url,
    headers = {},
    ...more
  } = server as Record<string, unknown>;
  if (Object.keys(more).length) {
    return { ...draft, kind: 'other' };
  }
  const isLocal =
    (type === undefined || type === 'stdio') && typeof command === 'string' && url === undefined;
  if (isLocal && isTexts(args) && isPairs(env) && !('headers' in server)) {
    return { ...draft, kind: 'stdio', command, args: args.join('\n'), pairs: pairLines(env) };
  }
  const isRemote = (type === 'http' || type === 'sse') && typeof url === 'string' && command === undefined;
  if (isRemote && isPairs(headers) && !('args' in server) && !('env' in server)) {
    return { ...draft, kind: type, url, pairs: pairLines(headers) };
  }
  return { ...draft, kind: 'other' };
}

function servers(
  drafts: readonly IServerDraft[],
  problems: Partial<Record<Field, string>>,
  trans: TranslationBundle
): AgentSpec['mcp_servers'] {
  const found: Record<string, unknown> = {};
  for (const draft of drafts) {
    const name = draft.name.trim();
    if (!name) {
      problems.mcp_servers ??= trans.__('Every server needs a name.');
    } else if (name in found) {
      problems.mcp_servers ??= trans.__('The server %1 is there twice.', name);
    }
    if (draft.kind === 'other') {
      const definition = jsonObject(draft.json);
      if (!definition) {
        problems.mcp_servers ??= trans.__('The definition of %1 is no JSON object.', name);
      }
      found[name] = definition ?? {};
      continue;
    }
    const pairs = pairsOf(draft.pairs);
    if (!pairs) {
      problems.mcp_servers ??= trans.__('Write each line of %1 as NAME=value.', name);
    }
    const isLocal = draft.kind === 'stdio';
    if (!(isLocal ? draft.command : draft.url).trim()) {
      problems.mcp_servers ??= isLocal
        ? trans.__('The server %1 needs a command.', name)
        : trans.__('The server %1 needs an address.', name);
    }
    const args = lines(draft.args);
    const has = pairs && Object.keys(pairs).length > 0;
    found[name] = isLocal
      ? { command: draft.command.trim(), ...(args.length ? { args } : {}), ...(has ? { env: pairs } : {}) }
      : { type: draft.kind, url: draft.url.trim(), ...(has ? { headers: pairs } : {}) };
  }
  return found as AgentSpec['mcp_servers'];
}

function jsonObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function isTexts(value: unknown): value is string[] {
  // A line end or a blank at an end would not come back out of the lines.
  return (
    Array.isArray(value) &&
    value.every(one => typeof one === 'string' && one !== '' && one === one.trim() && !one.includes('\n'))
  );
}

function isPairs(value: unknown): value is Record<string, string> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every(
      ([name, one]) =>
        typeof one === 'string' && !/[\n=]/.test(name) && one === one.trim() && !one.includes('\n')
    )
  );
}

function pairLines(pairs: Record<string, string>): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n');
}

function pairsOf(text: string): Record<string, string> | null {
  const found: Record<string, string> = {};
  for (const line of lines(text)) {
    const at = line.indexOf('=');
    if (at < 1) {
      return null;
    }
    found[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return found;
}
