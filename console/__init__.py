"""The console: REST API, live updates, page, notifications."""

from console.app import make_console
from console.auth import AuthStore, Role
from console.config import ConsoleConfig, OidcConfig
from console.first_start import first_link
from console.lent import Backtests, Lent

__all__ = ["AuthStore", "Backtests", "ConsoleConfig", "Lent", "OidcConfig", "Role", "first_link", "make_console"]
