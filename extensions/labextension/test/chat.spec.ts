import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ServerConnection } from '@jupyterlab/services';
import { WebSocket, WebSocketServer } from 'ws';

import { Chat } from '../src/agents/chat';
import { AgentsModel } from '../src/model';
import { until } from './until';

type Refusal = { status: number; code: string; message: string };

const AWAY = 'The server does not answer.';
const GONE: Refusal = { status: 404, code: 'not_found', message: 'There is no such turn.' };
const WRONG: Refusal = { status: 500, code: 'internal_error', message: 'The store is locked.' };

let server: Server;
let sockets: WebSocketServer;
let model: AgentsModel;
let chat: Chat;
/** The runs of the one conversation, oldest first. */
let turns: { id: string; prompt: string; status: string; last_seq: number }[];
/** What is said of each turn, of the list of turns, and of a run, in place of an answer. */
let refused: { turn: Refusal | null; list: Refusal | null; run: Refusal | null };

beforeEach(async () => {
  turns = [];
  refused = { turn: null, list: null, run: null };
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost');
    let text = '';
    request.on('data', data => (text += String(data)));
    request.on('end', () => {
      const [refusal, answer] = reply(request.method ?? '', url, text);
      response
        .writeHead(refusal?.status ?? 200, { 'Content-Type': 'application/json' })
        .end(JSON.stringify(refusal ?? answer));
    });
  });
  sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    const run = turns.find(one => request.url?.includes(`/${one.id}/`));
    if (!run || refused.run) {
      socket.destroy();
      return;
    }
    sockets.handleUpgrade(request, socket, head, connection => {
      run.status = 'succeeded';
      connection.send(JSON.stringify({ type: 'end', data: run }));
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  model = new AgentsModel(
    ServerConnection.makeSettings({
      baseUrl: `http://127.0.0.1:${port}/`,
      wsUrl: `ws://127.0.0.1:${port}/`,
      WebSocket: WebSocket as unknown as typeof globalThis.WebSocket
    })
  );
});

afterEach(async () => {
  chat.dispose();
  model.dispose();
  for (const connection of sockets.clients) {
    connection.terminate();
  }
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
});

/** One conversation, as the workspace keeps it. Its turns end as soon as somebody follows them. */
function reply(method: string, url: URL, text: string): [Refusal | null, unknown] {
  if (url.pathname.endsWith('/conversation')) {
    if (method === 'POST') {
      const { message } = JSON.parse(text) as { message: string };
      const id = `r${turns.length + 1}`;
      turns.push({ id, prompt: message, status: 'running', last_seq: 0 });
      return [null, { conversationId: 'c', runId: id, status: 'running' }];
    }
    const runId = url.searchParams.get('runId') ?? '';
    const said = turns.find(one => one.id === runId)?.prompt ?? '';
    return [refused.turn, { runId, text: `Heard: ${said}`, component: { type: 'text' }, agentCreated: null }];
  }
  if (url.searchParams.has('conversation')) {
    return [refused.list, { items: [...turns].reverse(), next: null }];
  }
  return [/runs\/./.test(url.pathname) ? refused.run : null, { items: [], next: null }];
}

function answers(): (string | undefined)[] {
  return chat.turns.map(turn => turn.answer?.text);
}

test.each([503, 500])('what came of a turn is asked for until it is told, after status %d', async status => {
  chat = new Chat(model);
  refused.turn = { ...WRONG, status };
  expect(await chat.say('one')).toBe(true);
  await until(() => chat.error === WRONG.message);
  expect(answers()).toEqual([undefined]);
  refused.turn = null;
  await until(() => chat.turns[0]?.answer !== null);
  expect(answers()).toEqual(['Heard: one']);
  expect([chat.error, chat.busy]).toEqual(['', false]);
});

test.each([
  ['of which nothing is to be had', 'turn'],
  ['that cannot be followed', 'run']
] as const)('a turn %s leaves room for the next', async (_, what) => {
  chat = new Chat(model);
  refused[what] = GONE;
  await chat.say('one');
  await until(() => chat.error === GONE.message);
  expect(chat.busy).toBe(false);
  refused[what] = null;
  expect(await chat.say('two')).toBe(true);
  await until(() => chat.turns[1]?.answer !== null);
  expect(answers()).toEqual([undefined, 'Heard: two']);
});

test('a conversation that is opened while the server is away is there when it is back', async () => {
  turns = [
    { id: 'r1', prompt: 'one', status: 'succeeded', last_seq: 3 },
    { id: 'r2', prompt: 'two', status: 'running', last_seq: 1 }
  ];
  const { port } = server.address() as AddressInfo;
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
  chat = new Chat(model, 'c');
  await until(() => chat.error === AWAY);
  expect([chat.turns.length, chat.busy]).toEqual([0, true]);
  refused.turn = WRONG;
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve));
  await until(() => chat.error === WRONG.message);
  expect(chat.turns.map(turn => turn.said)).toEqual(['one', 'two']);
  refused.turn = null;
  await until(() => answers().every(Boolean));
  expect(answers()).toEqual(['Heard: one', 'Heard: two']);
  expect([chat.error, chat.busy]).toEqual(['', false]);
});
