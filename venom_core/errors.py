"""Every error this project raises on purpose, in one tree, split by who is at fault.

    VenomError
    ├── InputError                what a caller handed in is wrong; nothing was changed
    │   ├── InvalidTask           a task option, id, type or payload
    │   ├── InvalidSetting        a configuration value or name
    │   ├── InvalidSkill          a skill that cannot be registered or loaded
    │   ├── TaskExists            the id is taken by a task with other content
    │   ├── UnknownTask           nobody enqueued this id, or it is long forgotten
    │   ├── UnknownNode           no node of this name, or it is not ours to change
    │   ├── IllegalTransition     the lifecycle has no such move
    │   ├── Forbidden             the policy of this node does not allow it
    │   ├── LimitReached          it needs more than a limit of this node allows
    │   └── MissingExtra          it needs a package that is not installed
    ├── StoreError                the Redis server's side
    │   ├── StoreUnavailable      not reachable, not ready, or the connection was lost
    │   ├── StoreRefused          wrong password, missing right, read-only, full
    │   ├── StoreTooOld           a server older than we support
    │   └── QueueFull             the hive's own limit on queued tasks
    ├── SecurityError             a message that is forged, altered, unsigned or foreign
    │   ├── UpdateRefused         an update that was not taken, with a code (in venom_core.ota.refusal)
    │   └── AuditBroken           an audit whose lines do not follow one another, or that lacks what was seen of it
    ├── StackError                Docker or its compose plugin is missing, or did not do what was asked
    ├── LeaseLost                 this node is no longer the holder of what it works on
    │   └── LeaseLate             its lease ran out but was not taken: renewing it is enough
    └── TaskFailure               how one attempt of a task ended badly
        ├── TaskTimeout           it ran longer than its timeout
        ├── TaskCancelled         somebody cancelled it
        ├── ServiceFailed         a page, a model or another outside service did not answer as it should
        └── SandboxCrashed        the child process under it died

Messages are one sentence that says what is wrong and what to do.
"""

from __future__ import annotations


class VenomError(Exception):
    """Root of every error raised on purpose."""


class InputError(VenomError, ValueError):
    """What a caller handed in is wrong; nothing was changed."""


class InvalidTask(InputError):
    """A task option, id, type or payload is not acceptable."""


class InvalidSetting(InputError):
    """A configuration name or value is not acceptable."""


class InvalidSkill(InputError):
    """A skill cannot be registered or loaded."""


class TaskExists(InputError):
    """The id is taken by a task with other content."""


class UnknownTask(InputError, LookupError):
    """Nobody enqueued this id, or its result was forgotten after its time to live."""


class UnknownNode(InputError, LookupError):
    """No node of this name is known, or it is not ours to change."""


class IllegalTransition(InputError):
    """The lifecycle has no such move from the task's present state."""


class Forbidden(InputError):
    """The policy of this node does not allow it."""


class LimitReached(InputError):
    """It needs more than a limit of this node allows."""


class MissingExtra(InputError):
    """It needs a package that is not installed; the message names the extra that brings it."""


class StoreError(VenomError):
    """The Redis server's side failed."""


class StoreUnavailable(StoreError, ConnectionError):
    """The server cannot be reached, is not ready, or the connection was lost."""


class StoreRefused(StoreError):
    """The server answered no: password, rights, read-only replica or memory."""


class StoreTooOld(StoreError):
    """The server is older than Redis 7.0 or Valkey 7.2."""


class QueueFull(StoreError):
    """The hive holds as many queued tasks as its limit allows."""


class SecurityError(VenomError):
    """A message is forged, altered, unsigned or foreign."""


class AuditBroken(SecurityError):
    """The lines of an audit do not follow one another, or it lacks what was seen of it."""


class StackError(VenomError):
    """Docker or its compose plugin is missing, or did not do what was asked."""


class LeaseLost(VenomError):
    """This node is no longer the holder of what it works on."""


class LeaseLate(LeaseLost):
    """The lease ran out but was not taken away; the next heartbeat renews it."""


class TaskFailure(VenomError):
    """One attempt of a task ended badly."""


class TaskTimeout(TaskFailure, TimeoutError):
    """The attempt ran longer than its timeout."""


class TaskCancelled(TaskFailure):
    """Somebody cancelled the task."""


class ServiceFailed(TaskFailure):
    """An outside service (a page, a model) did not answer as it should; another attempt may help."""


class SandboxCrashed(TaskFailure):
    """The child process that ran the task died."""
