"""A typed client of the console's API, for programs that wait and for asyncio."""

from driftline.client import calls
from driftline.client.calls import Call, Page
from driftline.client.clients import AsyncClient, Client, ConsoleError, News

__all__ = ["AsyncClient", "Call", "Client", "ConsoleError", "News", "Page", "calls"]
