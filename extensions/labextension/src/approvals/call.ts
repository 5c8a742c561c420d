/** What a tool call would do, in the form in which a person judges it: a command, a change of a file, a question. */

import { diffLines } from 'diff';

import type { Approval } from '../types';

/** A line of a change. */
export interface IDiffLine {
  sign: '+' | '-' | ' ';
  text: string;
}

export interface IQuestion {
  question: string;
  header: string;
  many: boolean;
  options: { label: string; description: string }[];
}

export type Call =
  | { kind: 'command'; command: string; about: string; rest: string }
  | { kind: 'change'; path: string; changes: IDiffLine[][]; rest: string }
  | { kind: 'question'; questions: IQuestion[] }
  | { kind: 'other'; text: string };

/** Claude Code's tool by which it asks the person something. */
export const QUESTION = 'AskUserQuestion';

type Input = Readonly<Record<string, unknown>>;

/** Characters that are not seen, or that turn the order of what is: a command must not look like another one. */
// eslint-disable-next-line no-control-regex -- these are what is looked for
const HIDDEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** The text with what cannot be seen written as `\uXXXX`. */
export function visible(text: string): string {
  return text.replace(HIDDEN, hidden => `\\u${hidden.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Milliseconds that a difference may take to find; beyond that all is said to be another. */
const LONGEST_DIFF = 1_000;

/**
 * The call. All of its input is in the answer; what has no form of its own is JSON.
 *
 * @param before what the file holds that `Write` replaces.
 */
export function callOf(approval: Pick<Approval, 'tool' | 'input'>, before = ''): Call {
  const input: Input = approval.input;
  switch (approval.tool) {
    case 'Bash':
      if (isText(input['command'])) {
        const { command, description, ...rest } = input;
        return {
          kind: 'command',
          command: visible(command),
          about: isText(description) ? visible(description) : '',
          rest: restOf(rest)
        };
      }
      break;
    case 'Write':
      if (isText(input['file_path']) && isText(input['content'])) {
        const { file_path, content, ...rest } = input;
        return change(file_path, [[before, content]], rest);
      }
      break;
    case 'Edit':
      if (isText(input['file_path']) && isText(input['old_string']) && isText(input['new_string'])) {
        const { file_path, old_string, new_string, ...rest } = input;
        return change(file_path, [[old_string, new_string]], rest);
      }
      break;
    case 'MultiEdit':
      if (isText(input['file_path']) && Array.isArray(input['edits'])) {
        const { file_path, edits, ...rest } = input;
        const pairs = (edits as unknown[]).map(edit => [
          textAt(edit, 'old_string'),
          textAt(edit, 'new_string')
        ]);
        const everywhere = (edits as unknown[]).some(edit => isObject(edit) && edit['replace_all'] === true);
        return change(file_path, pairs, everywhere ? { ...rest, edits } : rest);
      }
      break;
    case 'NotebookEdit':
      if (isText(input['notebook_path']) && isText(input['new_source'])) {
        const { notebook_path, new_source, ...rest } = input;
        return change(notebook_path, [['', new_source]], rest);
      }
      break;
    case QUESTION: {
      const questions = questionsOf(input);
      if (questions.length) {
        return { kind: 'question', questions };
      }
      break;
    }
  }
  return { kind: 'other', text: json(input) };
}

/** The call in one line. */
export function summaryOf(call: Call): string {
  switch (call.kind) {
    case 'command':
      return oneLine(call.command);
    case 'change':
      return call.path;
    case 'question':
      return oneLine(call.questions[0]?.question ?? '');
    case 'other':
      return oneLine(call.text);
  }
}

/** One text for all that a person answered: the API takes one. */
export function answerOf(questions: readonly IQuestion[], answers: readonly string[]): string {
  if (questions.length === 1) {
    return answers[0] ?? '';
  }
  return questions.map((one, at) => `${one.question} ${answers[at] ?? ''}`).join('\n');
}

function change(path: unknown, pairs: unknown[][], rest: Input): Call {
  const changes = pairs.map(([before, after]) => lines(visible(String(before)), visible(String(after))));
  return { kind: 'change', path: visible(String(path)), changes, rest: restOf(rest) };
}

function lines(before: string, after: string): IDiffLine[] {
  const parts = diffLines(before, after, { timeout: LONGEST_DIFF }) ?? [
    { value: before, removed: true, added: false },
    { value: after, removed: false, added: true }
  ];
  return parts.flatMap(part => {
    const sign = part.added ? '+' : part.removed ? '-' : ' ';
    return part.value
      .replace(/\n$/, '')
      .split('\n')
      .map(text => ({ sign, text }) as const);
  });
}

function questionsOf(input: Input): IQuestion[] {
  const found = Array.isArray(input['questions']) ? (input['questions'] as unknown[]) : [];
  return found.filter(isObject).map(one => ({
    question: textAt(one, 'question'),
    header: textAt(one, 'header'),
    many: one['multiSelect'] === true,
    options: (Array.isArray(one['options']) ? (one['options'] as unknown[]) : []).map(option => ({
      label: textAt(option, 'label'),
      description: textAt(option, 'description')
    }))
  }));
}

function restOf(rest: Input): string {
  const told = Object.entries(rest).filter(([, value]) => value !== false && value !== null);
  return told.length ? json(Object.fromEntries(told)) : '';
}

function json(value: unknown): string {
  // What is hidden is written as JSON writes it.
  return visible(JSON.stringify(value, null, 2));
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function textAt(value: unknown, name: string): string {
  const found = isObject(value) ? value[name] : undefined;
  return isText(found) ? found : '';
}
