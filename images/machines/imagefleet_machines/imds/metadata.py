"""Answers for one machine at a time, by the paths of instance metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_machines.imds import entries
from imagefleet_machines.imds.credentials import Credentials
from imagefleet_machines.notices import Notices
from imagefleet_machines.records import Record, Records, Template

_ROLES = "iam/security-credentials"

log = structlog.get_logger()


class Metadata:
    """What machines can ask for.

    Args:
        record: returns an instance's record, if there is one.
        records: where launch templates are.
    """

    def __init__(
        self,
        record: Callable[[str], Record | None],
        records: Records,
        credentials: Credentials,
        notices: Notices,
    ) -> None:
        self._record = record
        self._records = records
        self._credentials = credentials
        self._notices = notices
        # A version of a launch template never changes.
        self._templates: dict[str, Template] = {}

    def answer(self, instance: str, address: str, path: str) -> bytes | None:
        """Return what stands at a path such as `latest/user-data`, None for nothing."""
        record = self._record(instance)
        if record is None:
            return None
        version, _, rest = path.strip("/").partition("/")
        if not version:
            return b"latest"
        match rest.partition("/"):
            case ("", _, _):
                return b"dynamic\nmeta-data\nuser-data"
            case ("user-data", _, ""):
                return self._template(record).user_data or None
            case ("dynamic", _, entry):
                return _found(entries.dynamic(record, address), entry)
            case ("meta-data", _, entry):
                return self._meta_data(record, address, entry.strip("/"))
        return None

    def _meta_data(self, record: Record, address: str, entry: str) -> bytes | None:
        profile = self._template(record).profile_arn
        role = self._role(profile)
        if role and entry == f"{_ROLES}/{role}":
            return self._credentials.document(profile, record.id).encode()
        interruption = self._notices.action(record.id)
        known = entries.meta_data(record, address=address, role=role, interruption=interruption)
        return _found(known, entry)

    def _role(self, profile: str) -> str:
        """Return the role's name; nobody boots the worse for there being none."""
        try:
            return self._credentials.role(profile) if profile else ""
        except ImagefleetError as error:
            log.warning("a machine has no role", reason=str(error))
            return ""

    def _template(self, record: Record) -> Template:
        if not record.version:
            return self._records.template("")
        if record.version not in self._templates:
            self._templates[record.version] = self._records.template(record.version)
        return self._templates[record.version]


def _found(known: Mapping[str, str], entry: str) -> bytes | None:
    """Return a text, or the names below; an entry is asked for with and without its slash."""
    text = known.get(entry.strip("/"))
    listed = entries.listing(known, entry) if text is None else text
    return None if listed is None else listed.encode()
