"""What goes wrong, as a sentence and the next step; never a traceback."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from keeptrusts_operator.kube.port import ApiError, Forbidden, NotFound, Refused, Resource, Unavailable


class Exit(IntEnum):
    """Exit codes of every command; `docs/how-to/kubectl.md` lists them."""

    OK = 0
    ERROR = 1  # nothing was done; errors were found by `lint`; a test failed
    USAGE = 2  # click's own
    NOT_DONE = 3  # a request was refused, ignored or overtaken
    TIMEOUT = 4  # no answer, or not healthy, in time
    UNKNOWN = 5  # `test`: no test failed, but some say nothing about the policy


@dataclass(eq=False)  # not frozen: a traceback is set on it
class Failure(Exception):
    """Ends a command. `passing`: it may go by itself, so that something that waits goes on waiting."""

    message: str
    next_step: str = ""
    code: Exit = Exit.ERROR
    passing: bool = False

    def __str__(self) -> str:
        return self.message


DENIED = re.compile(r"denied (?:the )?request: (?P<why>.*)", re.DOTALL)
USER = re.compile(r'User "(?P<user>[^"]+)" cannot')


def explained(error: ApiError, verb: str, resource: Resource, namespace: str, name: str = "") -> Failure:
    """The failure that an error of the API means to who asked `verb` of `resource`; a namespace of "" is all of them."""
    kind = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    if isinstance(error, Forbidden | Refused) and (denied := DENIED.search(str(error))):
        return Failure(f"The API server refuses it: {denied['why'].strip()}", code=Exit.NOT_DONE)
    if isinstance(error, Forbidden):
        user = USER.search(str(error))
        who = user["user"] if user else "You"
        check = f"kubectl auth can-i {verb} {kind} {f'-n {namespace}' if namespace else '-A'}"
        step = f"Ask for the verb {verb} on {kind}. To check: {check}"
        return Failure(f"{who} may not {verb} {kind} {where}.", step)
    if error.status == 401:
        return Failure("The API server does not know who you are (401).", "Log in again, or choose another --context.")
    if isinstance(error, NotFound) and not name:
        return Failure(f"This cluster has no {kind}.", "Install the Keeptrusts operator with its CRDs first.")
    if isinstance(error, NotFound):
        return Failure(f"There is no {resource.kind} {name} {where}.")
    if isinstance(error, Unavailable):
        step = "Check that `kubectl get --raw /readyz` answers; try again, or choose another --context."
        return Failure(f"The API server cannot be asked: {error}", step, passing=True)
    return Failure(f"The API server refuses it: {error}", code=Exit.NOT_DONE)
