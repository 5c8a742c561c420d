/** The panel's own icon; everything else is JupyterLab's. */

import { LabIcon } from '@jupyterlab/ui-components';

const AGENTS = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16">
  <g class="jp-icon3" fill="#616161">
    <path d="M11 2h2v3h-2z"/>
    <path d="M5 6h14a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-4l-3 3-3-3H5a2 2 0 0 1-2-2V8a2 2 0 0 1 2-2zm0 2v9h14V8z"/>
    <path d="M8 11h2v3H8zm6 0h2v3h-2z"/>
  </g>
</svg>`;

export const agentsIcon = new LabIcon({ name: 'jupyterhub-agents:agents', svgstr: AGENTS });
