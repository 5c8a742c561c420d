/** What a run's events mean to a reader: a pure model of blocks. Nothing here knows of the page, the server or time. */

import type { Approval, Run, RunEvent, RunStatus } from '../types';

interface IBlock {
  /** The same for the same thing, also when older events have come before it. */
  readonly key: string;
  /** The event that began it. */
  readonly seq: number;
  /** When that was, ISO 8601. */
  readonly time: string;
}

export interface IPrompt extends IBlock {
  readonly kind: 'prompt';
  readonly text: string;
}

export interface IText extends IBlock {
  readonly kind: 'text' | 'thinking';
  readonly text: string;
}

export interface IHunk {
  readonly oldStart: number;
  readonly newStart: number;
  /** Each begins with a space, `-` or `+`, as in a unified diff. */
  readonly lines: readonly string[];
}

export interface IResult {
  readonly text: string;
  readonly isError: boolean;
  readonly time: string;
  /** What an edit changed, when Claude Code says so. */
  readonly hunks: readonly IHunk[];
}

export interface ICall extends IBlock {
  readonly kind: 'call';
  readonly id: string;
  readonly tool: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly result: IResult | null;
  /** What a person was asked about it. */
  readonly approval: IAsked | null;
  /** What a subagent said and did that this call started. */
  readonly inner: readonly Block[];
}

/** A call that waits for a person, or waited. */
export interface IAsked {
  readonly id: string;
  readonly tool: string;
  readonly input: Approval['input'];
  readonly rules: readonly string[];
  readonly reason: string | null;
  readonly decision: Approval['decision'];
  readonly message: string | null;
  readonly closed: boolean;
}

/** An approval whose call is not among the events. */
export interface IAskedAlone extends IBlock {
  readonly kind: 'asked';
  readonly approval: IAsked;
}

export interface IStatus extends IBlock {
  readonly kind: 'status';
  readonly status: RunStatus;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** What happened on the way: `retry` when the model did not answer, `compacted` when old words were summed up. */
export interface INotice extends IBlock {
  readonly kind: 'notice';
  readonly what: 'retry' | 'compacted';
  readonly text: string;
}

export type Block = IPrompt | IText | ICall | IAskedAlone | IStatus | INotice;

/** What is known of a run when its events up to one are read. */
export interface IStory {
  readonly blocks: readonly Block[];
  /** The model's messages at the top level so far: the turns, before the run's record has them. */
  readonly turns: number;
}

type Json = Readonly<Record<string, unknown>>;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
type Call = Mutable<Omit<ICall, 'inner'>> & { inner: Block[] };

/** Told by a status event when nothing but a card says so already. */
const SPOKEN: ReadonlySet<string> = new Set(['succeeded', 'failed', 'cancelled', 'interrupted']);
/** The model's name in what Claude Code says in its place. */
const SYNTHETIC = '<synthetic>';

/**
 * The blocks of `events`, which follow each other without a gap. They may begin in the middle of a run: what belongs to an
 * event before them is left out until that has come.
 */
export function story(run: Pick<Run, 'prompt'>, events: readonly RunEvent[]): IStory {
  const blocks: Block[] = [];
  const calls = new Map<string, Call>();
  const asked = new Map<string, Mutable<IAsked>>();
  const messages = new Set<string>();

  const place = (parent: unknown): Block[] =>
    typeof parent === 'string' ? (calls.get(parent)?.inner ?? []) : blocks;

  for (const event of events) {
    const { payload } = event;
    switch (event.type) {
      case 'status':
        takeStatus(event, payload);
        break;
      case 'approval':
        takeApproval(event, payload);
        break;
      case 'message':
        if (payload['type'] === 'assistant') {
          takeAssistant(event, payload);
        } else if (payload['type'] === 'user') {
          takeUser(event, payload);
        } else if (payload['type'] === 'system') {
          takeSystem(event, payload);
        }
        break;
      case 'usage':
        break;
    }
  }
  return { blocks, turns: messages.size };

  function takeStatus(event: RunEvent, payload: Json): void {
    const status = payload['status'] as RunStatus;
    if (status === 'queued') {
      const prompt = payload['prompt'];
      if (event.seq === 1 || typeof prompt === 'string') {
        blocks.push({ ...head(event, 'prompt'), kind: 'prompt', text: textOf(prompt) || run.prompt });
      }
    } else if (SPOKEN.has(status)) {
      const error = objectOf(payload['error']);
      blocks.push({
        ...head(event, 'status'),
        kind: 'status',
        status,
        error: error && { code: textOf(error['code']), message: textOf(error['message']) }
      });
    }
  }

  function takeApproval(event: RunEvent, payload: Json): void {
    const id = textOf(payload['id']);
    const known = asked.get(id);
    if (known) {
      known.decision = (payload['decision'] as Approval['decision'] | undefined) ?? known.decision;
      known.message = (payload['message'] as string | null | undefined) ?? known.message;
      known.closed = known.closed || payload['closed'] === true;
      return;
    }
    if (typeof payload['tool'] !== 'string') {
      return;
    }
    const approval: Mutable<IAsked> = {
      id,
      tool: payload['tool'],
      input: (payload['input'] ?? {}) as Approval['input'],
      rules: (payload['rules'] ?? []) as string[],
      reason: (payload['reason'] ?? null) as string | null,
      decision: (payload['decision'] ?? null) as Approval['decision'],
      message: (payload['message'] ?? null) as string | null,
      closed: payload['closed'] === true
    };
    asked.set(id, approval);
    const call = calls.get(textOf(payload['tool_use_id']));
    if (call) {
      call.approval = approval;
    } else {
      blocks.push({ ...head(event, 'asked'), kind: 'asked', approval });
    }
  }

  function takeAssistant(event: RunEvent, payload: Json): void {
    const message = objectOf(payload['message']) ?? {};
    const parent = payload['parent_tool_use_id'];
    // What Claude Code says in the model's place stands in the status that follows.
    if (message['model'] === SYNTHETIC) {
      return;
    }
    if (typeof parent !== 'string') {
      messages.add(textOf(message['id']));
    }
    const into = place(parent);
    contentOf(message).forEach((part, at) => {
      const start = head(event, String(at));
      if (part['type'] === 'text' || part['type'] === 'thinking') {
        const text = textOf(part[part['type']]);
        if (text.trim()) {
          into.push({ ...start, kind: part['type'], text });
        }
      } else if (part['type'] === 'tool_use' || part['type'] === 'server_tool_use') {
        const id = textOf(part['id']);
        const call: Call = {
          ...start,
          key: `call-${id}`,
          kind: 'call',
          id,
          tool: textOf(part['name']),
          input: objectOf(part['input']) ?? {},
          result: null,
          approval: null,
          inner: []
        };
        // A call that is told again, such as after a resume, is the same call.
        if (!calls.has(id)) {
          calls.set(id, call);
          into.push(call);
        }
      }
    });
  }

  function takeUser(event: RunEvent, payload: Json): void {
    for (const part of contentOf(objectOf(payload['message']) ?? {})) {
      const call = part['type'] === 'tool_result' && calls.get(textOf(part['tool_use_id']));
      if (call) {
        call.result = {
          text: resultText(part['content']),
          isError: part['is_error'] === true,
          time: event.time,
          hunks: hunksOf(payload['tool_use_result'])
        };
      }
    }
  }

  function takeSystem(event: RunEvent, payload: Json): void {
    if (payload['subtype'] === 'api_retry') {
      const last = blocks.at(-1);
      const text = textOf(payload['error']) || textOf(payload['error_status']);
      const notice: INotice = { ...head(event, 'retry'), kind: 'notice', what: 'retry', text };
      // Of attempts in a row the newest tells all.
      if (last?.kind === 'notice' && last.what === 'retry') {
        blocks[blocks.length - 1] = { ...notice, key: last.key };
      } else {
        blocks.push(notice);
      }
    } else if (payload['subtype'] === 'compact_boundary') {
      blocks.push({ ...head(event, 'compacted'), kind: 'notice', what: 'compacted', text: '' });
    }
  }
}

/** The calls of `blocks` that wait for a person now. */
export function waiting(blocks: readonly Block[]): IAsked[] {
  const found: IAsked[] = [];
  for (const block of blocks) {
    const approval = block.kind === 'call' || block.kind === 'asked' ? block.approval : null;
    if (approval && isWaiting(approval)) {
      found.push(approval);
    }
    if (block.kind === 'call') {
      found.push(...waiting(block.inner));
    }
  }
  return found;
}

export function isWaiting(approval: IAsked): boolean {
  return approval.decision === null && !approval.closed;
}

function head(event: RunEvent, part: string): { key: string; seq: number; time: string } {
  return { key: `${event.seq}-${part}`, seq: event.seq, time: event.time };
}

/** A text or number of the events' own; nothing for anything else. */
export function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function objectOf(value: unknown): Json | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
}

/** The parts of a message. What is said in plain words is one part. */
function contentOf(message: Json): readonly Json[] {
  const content = message['content'];
  if (typeof content === 'string') {
    return [{ type: 'text', text: content }];
  }
  return Array.isArray(content) ? (content as unknown[]).map(objectOf).filter(part => part !== null) : [];
}

/** What a call gave, as text. A picture is named. */
function resultText(content: unknown): string {
  if (!Array.isArray(content)) {
    return unwrapped(textOf(content));
  }
  const parts = content.map(part => {
    const object = objectOf(part) ?? {};
    return object['type'] === 'text' ? textOf(object['text']) : `[${textOf(object['type'])}]`;
  });
  return unwrapped(parts.join('\n'));
}

/** Claude Code marks an error of its own for the model. */
function unwrapped(text: string): string {
  return text.replace(/^<tool_use_error>([\s\S]*)<\/tool_use_error>$/, '$1');
}

/** What an edit changed (Claude Code's `structuredPatch`), or a new file's lines. */
function hunksOf(result: unknown): readonly IHunk[] {
  const object = objectOf(result);
  const patch = object?.['structuredPatch'];
  if (!object || !Array.isArray(patch)) {
    return [];
  }
  if (!patch.length && object['type'] === 'create') {
    return [added(textOf(object['content']))];
  }
  return patch.map(hunk => {
    const { oldStart, newStart, lines } = objectOf(hunk) ?? {};
    return {
      oldStart: Number(oldStart) || 1,
      newStart: Number(newStart) || 1,
      lines: Array.isArray(lines) ? lines.map(textOf) : []
    };
  });
}

/** A call's change to a file before it is made, or when Claude Code did not say what it changed. */
export function intendedHunks(call: Pick<ICall, 'tool' | 'input'>): readonly IHunk[] {
  const { input } = call;
  if (call.tool === 'Write') {
    return [added(textOf(input['content']))];
  }
  const edits = Array.isArray(input['edits']) ? input['edits'].map(edit => objectOf(edit) ?? {}) : [input];
  return edits.map(edit => ({
    oldStart: 0,
    newStart: 0,
    lines: [
      ...linesOf(textOf(edit['old_string'])).map(line => `-${line}`),
      ...linesOf(textOf(edit['new_string'] ?? edit['new_source'])).map(line => `+${line}`)
    ]
  }));
}

function added(text: string): IHunk {
  return { oldStart: 0, newStart: 1, lines: linesOf(text).map(line => `+${line}`) };
}

function linesOf(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') {
    lines.pop();
  }
  return lines;
}
