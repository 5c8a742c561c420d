/** The only place of the panel that speaks HTTP with the workspace's server. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { signInAgain } from './signin';

/** The codes of failures that are not the server's own answers. */
export type LocalCode = 'offline' | 'signed_out' | 'unreadable';

/** What the server refused, or that it was not reached. `message` is written for the person who reads it. */
export class RequestError extends Error {
  constructor(
    message: string,
    /** For programs: the server's code (`not_found`, `stale_revision`, ...), or one of `LocalCode`. */
    readonly code: string,
    /** The HTTP status; 0 when there was no answer. */
    readonly status: number,
    /** What else the server's answer holds, such as `current` of a stale revision. */
    readonly details: Readonly<Record<string, unknown>> = {}
  ) {
    super(message);
    this.name = 'RequestError';
  }

  /** Whether trying again later may help without anybody doing anything. */
  get isOffline(): boolean {
    return this.code === 'offline';
  }
}

/** Values of a query; what is null or undefined is left out, an array is repeated. */
export type Query = Record<string, string | number | boolean | null | undefined | readonly string[]>;

export interface IRequest {
  method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  query?: Query;
  body?: unknown;
  /** A status that is an answer too, though it tells of a failure. */
  accept?: number;
  signal?: AbortSignal;
}

/** Statuses by which the hub, its proxy or the front door say that the workspace does not answer. */
const AWAY = new Set([424, 502, 503, 504]);

/**
 * Ask the server, and give the JSON that it answers; undefined for an answer without a body.
 *
 * @param path below the server's base URL, such as `api/agents`; its parts are encoded already.
 * @throws RequestError
 */
export async function request<T>(
  settings: ServerConnection.ISettings,
  path: string,
  { method = 'GET', query = {}, body, accept, signal }: IRequest = {}
): Promise<T> {
  const url = URLExt.join(settings.baseUrl, path) + queryString(query);
  // JupyterLab adds the time to the address of what is `no-store`, and the server refuses what it does not know.
  const init: RequestInit = { method, cache: 'no-cache' };
  if (signal) {
    init.signal = signal;
  }
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'Content-Type': 'application/json' };
  }
  let { response, text } = await fetched(url, init, settings);
  if (isSignedOut(response.status, text) && (await signInAgain(settings.baseUrl))) {
    ({ response, text } = await fetched(url, init, settings));
  }
  const answer = parsed(text);
  const isAnswer = response.ok || (response.status === accept && isObject(answer) && !('code' in answer));
  if (!isAnswer) {
    throw failure(response.status, answer);
  }
  if (text && answer === undefined) {
    throw new RequestError('The server’s answer is not JSON.', 'unreadable', response.status);
  }
  return answer as T;
}

async function fetched(
  url: string,
  init: RequestInit,
  settings: ServerConnection.ISettings
): Promise<{ response: Response; text: string }> {
  try {
    const response = await ServerConnection.makeRequest(url, init, settings);
    return { response, text: await response.text() };
  } catch (error) {
    if (init.signal?.aborted) {
      throw error;
    }
    throw new RequestError('The server does not answer.', 'offline', 0);
  }
}

/** Codes by which the server says that it does not know who asks. */
const UNKNOWN = new Set(['not_authenticated', 'not_allowed', 'not_signed_in', 'xsrf']);

function isSignedOut(status: number, text: string): boolean {
  if (status !== 401 && status !== 403) {
    return false;
  }
  const answer = parsed(text);
  return !isObject(answer) || !('code' in answer) || UNKNOWN.has(String(answer['code']));
}

/** The address of a WebSocket at `path`. */
export function webSocketUrl(settings: ServerConnection.ISettings, path: string, query: Query = {}): string {
  const token = settings.appendToken && settings.token ? { token: settings.token } : {};
  return URLExt.join(settings.wsUrl, path) + queryString({ ...query, ...token });
}

function queryString(query: Query): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value]) {
      if (one !== null && one !== undefined) {
        found.append(name, String(one));
      }
    }
  }
  const text = found.toString();
  return text && `?${text}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The server's `{code, message, reason}` as an error; what others on the way say, in words of ours. */
function failure(status: number, answer: unknown): RequestError {
  if (isObject(answer) && 'code' in answer && 'message' in answer) {
    const { code, message, reason: _, ...details } = answer;
    return new RequestError(String(message), String(code), status, details);
  }
  if (AWAY.has(status)) {
    return new RequestError('The server does not answer.', 'offline', status);
  }
  if (status === 401 || status === 403) {
    return new RequestError('You are signed out. Load the page again.', 'signed_out', status);
  }
  return new RequestError(`The server answered with status ${status}.`, 'unreadable', status);
}
