// What jsdom lacks of a browser and JupyterLab's packages look for when they are loaded.
const { TextDecoder, TextEncoder } = require('node:util');
const node = globalThis;
Object.assign(node, { TextDecoder, TextEncoder });
node.DragEvent ??= class DragEvent {};
node.ResizeObserver ??= class ResizeObserver {
  observe() {}
  unobserve() {}
  disconnect() {}
};
node.matchMedia ??= () => ({ matches: false, addEventListener() {}, removeEventListener() {} });
// JupyterLab's clipboard complains where there is none.
Object.defineProperty(node.navigator ?? {}, 'clipboard', {
  value: { readText: () => Promise.resolve(''), writeText: () => Promise.resolve() }
});
node.requestIdleCallback ??= callback => setTimeout(callback, 0);
if (node.Element) {
  node.Element.prototype.scrollTo ??= () => undefined;
}
