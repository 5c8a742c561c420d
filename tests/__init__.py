"""The tests. The shipped contract's own assertions explain themselves too, if that is said before it is imported."""

import pytest

pytest.register_assert_rewrite("jupyterhub_agents.testing.store_contract")
