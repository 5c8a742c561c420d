"""Budgets: what each call costs, who may still spend, and every call on record.

meter.py      Budgets: what the gateway asks and tells (the Meter)
booking.py    a call under way, and its bill
leases.py     slices of budgets held in memory, so that a call waits for no write
ledger.py     the contract of what is kept: calls, spend, leases, budgets
sqlite.py     the ledger in one SQLite file;  schema.py its tables,  books.py a call in them,  reports.py its queries
firestore/    the ledger of several replicas
pruning.py    old calls are dropped
prices.py prices.toml   what a call costs;  money.py  nano-dollars;  periods.py  days and months
rates.py      requests and tokens a minute
refusals.py   the sentences a person reads
api.py        HTTP: my usage, and for admins everybody's;  answers.py  its bodies;  export.py  CSV
"""
