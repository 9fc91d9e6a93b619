"""Notifications: who is told of which alert, when, how often, and who next."""

from console.notify.config import NotifyConfig, Route
from console.notify.plan import Due, Group, Planner
from console.notify.worker import Notifier

__all__ = ["Due", "Group", "Notifier", "NotifyConfig", "Planner", "Route"]
