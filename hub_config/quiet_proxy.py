"""The proxy as the hub knows it. Apart from `proxy`, because its import brings most of JupyterHub along, which the
launcher does without."""

from __future__ import annotations

from typing import Any

from jupyterhub.proxy import ConfigurableHTTPProxy


class QuietProxy(ConfigurableHTTPProxy):
    """configurable-http-proxy, without its word on who is active.

    To the proxy every byte is activity, the polling and the pings of a forgotten browser tab included. Without
    that, the hub goes by what the workspaces report themselves.
    """

    async def get_all_routes(self) -> dict[str, Any]:
        """The routes, as jupyterhub.proxy.Proxy.get_all_routes says, where `last_activity` is optional."""
        routes: dict[str, Any] = await super().get_all_routes()  # type: ignore[no-untyped-call]  # publishes no types
        for route in routes.values():
            route["data"].pop("last_activity", None)
        return routes
