import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Notification as Toast } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';

import { Inbox } from '../src/approvals/inbox';
import type { DesktopChoice } from '../src/approvals/notify';
import { Notifier } from '../src/approvals/notify';
import { AgentsModel } from '../src/model';
import { RunHistory } from '../src/runs/history';
import { until } from './until';

const trans = nullTranslator.load('');
let server: Server;
let model: AgentsModel;
let waiting: string[];
let decided: { path: string; body: unknown }[];
let refusal: { status: number; code: string; message: string } | null;
let runs: {
  id: string;
  agent_id: string;
  prompt: string;
  status: string;
  trigger: string;
  last_seq: number;
}[];
let asked: URL[];
/** Answers to the history that are still on their way; null when they come at once. */
let held: (() => void)[] | null;

/** A server that has these approvals and runs, newest first, and pages of them. */
beforeEach(async () => {
  waiting = ['a1', 'a2', 'a3'];
  decided = [];
  refusal = null;
  runs = [];
  asked = [];
  held = null;
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost');
    let text = '';
    request.on('data', data => (text += String(data)));
    request.on('end', () => {
      const send = (status: number, answer: unknown): void => {
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
      };
      const id = /approvals\/(.+)\/decide/.exec(url.pathname)?.[1];
      if (id !== undefined) {
        if (refusal) {
          send(refusal.status, refusal);
          return;
        }
        decided.push({ path: id, body: JSON.parse(text) });
        waiting = waiting.filter(one => one !== id);
        send(200, { id });
      } else if (url.pathname.endsWith('/approvals')) {
        const items = waiting.map(one => ({
          id: one,
          tool: 'Bash',
          input: { command: one },
          rules: one === 'a2' ? [] : ['Bash(ls:*)'],
          agent_id: 'x'
        }));
        send(200, { items: items.reverse(), next: null });
      } else if (url.pathname.endsWith('/runs')) {
        asked.push(url);
        const { limit, before, agent, status } = Object.fromEntries(url.searchParams);
        const found = runs
          .filter(run => (!agent || run.agent_id === agent) && (!status || run.status === status))
          .filter(run => !before || run.id < before);
        const items = found.slice(0, Number(limit));
        const answer = (): void => {
          send(200, { items, next: items.length < found.length ? items.at(-1)?.id : null });
        };
        if (held && limit === '100') {
          held.push(answer);
        } else {
          answer();
        }
      } else {
        send(200, { items: [], next: null });
      }
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const settings = ServerConnection.makeSettings({ baseUrl: `http://127.0.0.1:${String(port)}/` });
  model = new AgentsModel(settings, { approvals: 20, runs: 20 });
});

afterEach(async () => {
  model.dispose();
  Toast.dismiss();
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
});

async function inboxOfThree(): Promise<Inbox> {
  const inbox = new Inbox(model, trans);
  await until(() => inbox.items.length === 3);
  return inbox;
}

test('a decision takes the call away and goes on with the next', async () => {
  const inbox = await inboxOfThree();
  expect(inbox.current?.id).toBe('a1');
  await inbox.decide('deny', ' Not today. ');
  expect(decided).toEqual([{ path: 'a1', body: { decision: 'deny', message: 'Not today.' } }]);
  expect(inbox.current?.id).toBe('a2');
  expect(inbox.takeFocus()).toBe(true);
  inbox.dispose();
});

test('two keys at once are one decision', async () => {
  const inbox = await inboxOfThree();
  await Promise.all([inbox.decide('once'), inbox.decide('once')]);
  expect(decided).toEqual([{ path: 'a1', body: { decision: 'once' } }]);
  inbox.dispose();
});

test('what was decided elsewhere is said, and the call leaves', async () => {
  const inbox = await inboxOfThree();
  refusal = { status: 409, code: 'conflict', message: 'It was decided already, by bob.' };
  await inbox.decide('once');
  expect(inbox.notice).toContain('by bob');
  expect(inbox.items.map(one => one.id)).toEqual(['a2', 'a3']);
  inbox.dispose();
});

test('the call that is looked at and goes by itself is told of, others are not', async () => {
  const inbox = await inboxOfThree();
  inbox.select('a2');
  waiting = ['a2', 'a3'];
  await until(() => inbox.items.length === 2);
  expect([inbox.current?.id, inbox.notice]).toEqual(['a2', '']);
  waiting = ['a3'];
  await until(() => inbox.current?.id === 'a3');
  expect(inbox.notice).toContain('settled elsewhere');
  inbox.dispose();
});

test('a failure leaves the call there', async () => {
  const inbox = await inboxOfThree();
  refusal = { status: 500, code: 'internal_error', message: 'The server failed.' };
  await inbox.decide('once');
  expect(inbox.notice).toContain('The server failed.');
  expect(inbox.current?.id).toBe('a1');
  inbox.dispose();
});

test('a call without rules is not allowed for more than this once', async () => {
  const inbox = await inboxOfThree();
  inbox.move(1);
  await inbox.decide('agent');
  expect(decided).toEqual([]);
  expect(inbox.notice).toContain('No rule');
  inbox.move(-5);
  expect(inbox.current?.id).toBe('a1');
  inbox.dispose();
});

/** The browser's own notifications, which jsdom has not. */
class Told {
  static permission: NotificationPermission = 'default';
  static answer: NotificationPermission = 'granted';
  static all: Told[] = [];
  static requestPermission(): Promise<NotificationPermission> {
    Told.permission = Told.answer;
    return Promise.resolve(Told.answer);
  }
  constructor(
    readonly title: string,
    readonly options: { body: string; tag: string }
  ) {
    Told.all.push(this);
  }
  closed = false;
  close(): void {
    this.closed = true;
  }
}

test('who is elsewhere is asked politely, then told outside the page, and not any more when it is settled', async () => {
  Object.assign(globalThis, { Notification: Told });
  let choice: DesktopChoice = 'ask';
  await until(() => model.approvals.value?.length === 3);
  const notifier = new Notifier(model, trans, {
    show: () => undefined,
    isSeen: () => false,
    choice: () => choice,
    choose: chosen => (choice = chosen)
  });
  expect(Toast.manager.count).toBe(0);
  waiting = [...waiting, 'b1'];
  await until(() => Toast.manager.count === 1);
  expect(Told.all).toEqual([]);
  const offer = Toast.manager.notifications[0]?.options.actions?.at(-1);
  offer?.callback(new MouseEvent('click'));
  await until(() => choice === 'on');
  waiting = [...waiting, 'b2'];
  await until(() => Told.all.length === 1);
  expect(Told.all[0]).toMatchObject({
    title: 'x is waiting for you',
    options: { body: 'Bash: b2', tag: 'b2' }
  });
  expect(Toast.manager.notifications[0]?.options.actions).toHaveLength(1);
  waiting = waiting.filter(one => one !== 'b2');
  await until(() => Told.all[0]?.closed === true);
  notifier.dispose();
  await until(() => Toast.manager.count === 0);
});

function history(count: number): typeof runs {
  return Array.from({ length: count }, (_, at) => ({
    id: String(50_000 - at),
    agent_id: at % 2 ? 'odd' : 'even',
    prompt: at === count - 1 ? 'The needle' : 'hay',
    status: at % 5 ? 'succeeded' : 'failed',
    trigger: at % 3 ? 'browser' : 'cli',
    last_seq: 9
  }));
}

test('runs are read on page by page, and a word is looked for as far back as it takes', async () => {
  runs = history(450);
  const found = new RunHistory(model);
  await until(() => found.shown.length === 100 && !found.isLoading);
  await found.more();
  expect(found.shown).toHaveLength(200);
  await found.filter({ text: 'NEEDLE' });
  expect(found.shown.map(run => run.prompt)).toEqual(['The needle']);
  expect([found.read, found.hasMore]).toEqual([450, false]);
  found.dispose();
});

test('the server looks for agent and status, and what does not fit is not shown', async () => {
  runs = history(300);
  const found = new RunHistory(model);
  await until(() => found.shown.length === 100 && !found.isLoading);
  await found.filter({ agent: 'odd', status: 'failed' });
  expect(found.shown).toHaveLength(30);
  expect(
    asked.some(url => url.search.includes('agent=odd&status=failed') || url.search.includes('status=failed'))
  ).toBe(true);
  await found.filter({ trigger: 'cli' });
  expect(found.shown.every(run => run.trigger === 'cli' && run.agent_id === 'odd')).toBe(true);
  await found.clear();
  expect(found.shown).toHaveLength(100);
  found.dispose();
});

test('a run that begins is there at once, and only where it fits', async () => {
  runs = history(3);
  const found = new RunHistory(model);
  await until(() => found.shown.length === 3 && !found.isLoading);
  await found.filter({ status: 'failed' });
  const before = found.shown.length;
  const begun = {
    id: '60000',
    agent_id: 'even',
    prompt: 'new',
    status: 'running',
    trigger: 'api',
    last_seq: 1
  };
  runs = [begun, ...runs];
  await until(() => model.runs.value?.length === 4);
  expect(found.shown).toHaveLength(before);
  runs = runs.map(run => (run.id === '60000' ? { ...run, status: 'failed', last_seq: 2 } : run));
  await until(() => found.shown[0]?.id === '60000');
  found.dispose();
});

test('an answer that was overtaken does not take a run back, and a run that is resumed goes on', async () => {
  held = [];
  const at = (status: string, last_seq: number) => history(1).map(run => ({ ...run, status, last_seq }));
  runs = at('running', 3);
  const found = new RunHistory(model);
  await until(() => held?.length === 1 && found.shown[0]?.status === 'running');
  runs = at('succeeded', 7);
  await until(() => found.shown[0]?.status === 'succeeded');
  held[0]?.();
  await until(() => !found.isLoading);
  expect(found.shown.map(one => one.status)).toEqual(['succeeded']);
  runs = at('running', 8);
  await until(() => found.shown[0]?.status === 'running');
  found.dispose();
});
