"""The service's pages, in JupyterHub's own look: what I spent, and for administrators everything.

routes.py     the addresses
sign_in.py    the hub's sign-in (OAuth), cookies, and what keeps other pages of this origin out
figures.py    what the pages show, asked of the ledger and the hub
render.py     templates, with the site's words and numbers in a person's language
everybody.py  what the store tells of everybody's agents and runs
cancelling.py an administrator cancels a run, with their own right
words.py      languages;  locale/  the translations
activity.py   agents, how their runs go, and sessions, for Prometheus
templates/    Jinja2;  static/  style and scripts, and Chart.js when it was installed
"""
