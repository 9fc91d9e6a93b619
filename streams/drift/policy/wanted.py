"""Which policy a worker should judge by.

It keeps four rules:

* only what verifies counts; what does not leaves everything as it was;
* a higher revision replaces a lower one; of two alike the one that was issued later does, so that all workers agree;
* a withdrawn policy gives way to the one that the worker was started with;
* while the topic has only what does not verify, a partition stays with what it was judged by before.
"""

from schemas.errors import DriftlineError
from schemas.policy import Policy
from streams.drift.policy.in_force import InForce, signed_policy
from trust import Keyring

__all__ = ["Wanted"]


class Wanted:
    """The worker's own policy, and the newest signed one of the name that it follows."""

    def __init__(self, own: InForce, keyring: Keyring | None = None) -> None:
        self.own, self._keyring = own, keyring
        self.has_keyring = keyring is not None
        self._signed: InForce | None = None
        self._newest = (-1, 0)
        self._refused = False

    def heed(self, policy: Policy) -> str:
        """Take in a record of the policies' topic; returns why it is refused, or nothing."""
        try:
            if self._keyring is None:
                raise DriftlineError("this worker has no keyring to verify policies with")
            found = signed_policy(policy, self._keyring)
        except DriftlineError as why:
            return self.refuse(str(why))
        age = (policy.revision, policy.issued_ms)
        if age <= self._newest:
            return ""
        self._newest, self._refused = age, False
        self._signed = None if policy.withdrawn else found
        return ""

    def refuse(self, why: str) -> str:
        """Note that the topic has something that cannot be used; returns `why`."""
        self._refused = True
        return why

    def after(self, before: InForce | None) -> InForce:
        """Return what a partition should be judged by that was judged by `before`; None for nothing yet."""
        if self._signed is not None:
            return self._signed
        unsure = self._refused and self._newest[0] < 0
        return before if unsure and before is not None else self.own
