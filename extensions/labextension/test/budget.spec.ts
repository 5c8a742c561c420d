import { nullTranslator } from '@jupyterlab/translation';

import { leftWords, levelOf, limitsOf, money, spentBy } from '../src/budget/left';
import { failureWords, isRefused, plainWords, shortWords } from '../src/budget/words';
import { RequestError } from '../src/request';
import type { BudgetLeft } from '../src/types';

const trans = nullTranslator.load('');
const ENDS = '2026-11-22T00:00:00Z';

function period(kind: 'day' | 'month', limit: string | null, spent: string, left: string | null) {
  return { period: kind, key: 'k', limit_usd: limit, spent_usd: spent, left_usd: left, ends_at: ENDS };
}

const budget: BudgetLeft = {
  counted: true,
  contact: 'the data team',
  budgets: [
    {
      kind: 'person',
      name: 'ada',
      is_default: false,
      periods: [period('day', '5.00', '1.80', '3.20'), period('month', null, '9.00', null)]
    },
    { kind: 'group', name: 'ml', is_default: true, periods: [period('month', '10.00', '9.10', '0.90')] }
  ]
};

test('the limit with the least left is the one that counts', () => {
  const limits = limitsOf(budget);
  expect(limits.map(one => [one.kind, one.period, one.left])).toEqual([
    ['group', 'month', 0.9],
    ['person', 'day', 3.2]
  ]);
  expect(limits.map(levelOf)).toEqual(['low', 'fine']);
  expect(limits.map(one => leftWords(one, trans))).toEqual(['$0.90 left this month', '$3.20 left today']);
  expect(spentBy(budget, 'month')).toBe(9);
});

test('a limit of nothing is used up', () => {
  const nothing = limitsOf({
    ...budget,
    budgets: [{ kind: 'hub', name: 'hub', is_default: true, periods: [period('day', '0', '0', '0')] }]
  });
  expect(nothing.map(levelOf)).toEqual(['used up']);
});

test.each([
  [3.2, '$3.20'],
  [4.999, '$4.99'],
  [0.004, '<$0.01'],
  [0, '$0.00'],
  [0.29, '$0.29']
])('what is left is never said to be more than it is: %p', (dollars, said) => {
  expect(money(dollars)).toBe(said);
});

test.each([
  ['api_error_429', 'API Error: Request rejected (429) · The budget of ada for today is used up.', true],
  [
    'api_error_403',
    'Failed to authenticate. API Error: 403 The model claude-opus-5-5 is not open to ada here.',
    true
  ],
  ['api_error_500', 'API Error: 500 The model failed.', false],
  ['execution_error', 'The process ended.', false]
])('a refusal is told in the words of who refused: %s', (code, message, refused) => {
  expect(isRefused({ code, message })).toBe(refused);
  expect(plainWords(message)).toMatch(/^The /);
});

test('a toast has what happened and whom to ask', () => {
  const left =
    'is nearly used up: $1.00 of $5.00 is left, and this call may cost $2.00. It starts anew in 12 hours.';
  expect(shortWords(`API Error: Request rejected (429) · The budget of ada ${left} Ask the data team.`)).toBe(
    'The budget of ada is nearly used up. Ask the data team.'
  );
  expect(shortWords('It broke.')).toBe('It broke.');
});

test('who asks for too much is told whom to ask, once', () => {
  const error = new RequestError('Too many runs wait.', 'queue_full', 429);
  expect(failureWords(error, 'the data team', trans)).toBe('Too many runs wait. Ask the data team.');
  const named = new RequestError('No. Ask the data team.', 'not_allowed', 403);
  expect(failureWords(named, 'the data team', trans)).toBe('No. Ask the data team.');
  expect(failureWords(new RequestError('Away.', 'offline', 0), 'x', trans)).toBe('Away.');
});
