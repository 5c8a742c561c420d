/** JupyterLab's packages are ES modules, which Jest runs as CommonJS: swc turns them. */
const modules = [
  '@jupyter',
  '@jupyterlab',
  '@lumino',
  '@microsoft',
  '@rjsf',
  'lib0',
  'y-protocols',
  'y-websocket',
  'yjs',
  'exenv-es6',
  'nanoid',
  'lodash-es',
  'vscode-',
  'uuid',
  'marked'
];

export default {
  testEnvironment: '<rootDir>/test/environment.cjs',
  testEnvironmentOptions: { customExportConditions: ['node', 'require', 'default'] },
  testTimeout: 20_000,
  testMatch: ['<rootDir>/test/**/*.spec.ts?(x)'],
  transform: {
    '\\.m?[jt]sx?$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', tsx: true },
          transform: { react: { runtime: 'automatic' } }
        }
      }
    ]
  },
  transformIgnorePatterns: [`/node_modules/(?!(${modules.join('|')}))`],
  moduleNameMapper: { '\\.(css|svg)$': '<rootDir>/test/asset.cjs' },
  setupFiles: ['<rootDir>/test/browser.cjs']
};
