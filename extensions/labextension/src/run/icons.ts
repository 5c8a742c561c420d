/** Icons that JupyterLab does not have. */

import { LabIcon } from '@jupyterlab/ui-components';

const SEND = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16">
  <path class="jp-icon3" fill="#616161" d="M3 20.5v-7l9-1.5-9-1.5v-7L22 12z"/>
</svg>`;

export const sendIcon = new LabIcon({ name: 'jupyterhub-agents:send', svgstr: SEND });
