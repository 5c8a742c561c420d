import { RenderMimeRegistry } from '@jupyterlab/rendermime';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { Chat } from '../src/agents/chat';
import { Conversation } from '../src/agents/conversation';
import { AgentEditor } from '../src/agents/editor';
import { AgentForm } from '../src/agents/form';
import { AgentsModel } from '../src/model';
import { until } from './until';

const trans = nullTranslator.load('');
let model: AgentsModel;

beforeEach(() => {
  // Nobody listens there: nothing of the server's is needed.
  model = new AgentsModel(ServerConnection.makeSettings({ baseUrl: 'http://127.0.0.1:9/' }));
});

afterEach(() => {
  model.dispose();
});

test.each([
  [
    'a form',
    'INPUT',
    () => new AgentForm(new AgentEditor(model.api, null, trans), trans, () => Promise.resolve())
  ],
  [
    'a conversation',
    'TEXTAREA',
    () => new Conversation(new Chat(model), new RenderMimeRegistry(), new CommandRegistry(), trans)
  ]
])('who goes to %s before it is drawn is led to its field', async (_, field, make) => {
  const widget: Widget = make();
  Widget.attach(widget, document.body);
  MessageLoop.sendMessage(widget, Widget.Msg.ActivateRequest);
  expect(document.activeElement).toBe(widget.node);
  await until(() => document.activeElement?.tagName === field);
  expect(widget.node.contains(document.activeElement)).toBe(true);
  widget.dispose();
});

test('who has gone elsewhere before a form is drawn is left there', async () => {
  const elsewhere = document.body.appendChild(document.createElement('button'));
  const editor = new AgentEditor(model.api, null, trans);
  const form = new AgentForm(editor, trans, () => Promise.resolve());
  Widget.attach(form, document.body);
  MessageLoop.sendMessage(form, Widget.Msg.ActivateRequest);
  elsewhere.focus();
  await until(() => form.node.querySelector('input') !== null);
  await form.renderPromise;
  expect(document.activeElement).toBe(elsewhere);
  form.dispose();
  elsewhere.remove();
});
