"""Some images and the jobs that had their answers, written down for other processes and later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagefleet_core import fields
from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import JobId
from imagefleet_web.reuse.index import Answered, Model

# As JSON 150 bytes each.
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Segment:
    """What one process learned in a while.

    Attributes:
        newest: the model of the latest answer that it knew of.
    """

    newest: Model
    answered: Sequence[tuple[bytes, Answered]]

    def encode(self) -> bytes:
        """Write it as JSON."""
        told = {
            "model": self.newest.name,
            "at": fields.format_time(self.newest.at),
            "answered": [
                {"image": image.hex(), "job": str(each.job), "model": each.model}
                for image, each in self.answered
            ],
        }
        return fields.encode(told).encode()

    @classmethod
    def decode(cls, data: bytes) -> Segment:
        """Read it; raises `DecodeError`."""
        read = fields.Fields.decode(data)
        names: dict[str, str] = {}  # each name once, however often it stands there

        def answered(each: fields.Fields) -> tuple[bytes, Answered]:
            model = each.text("model")
            job = JobId.parse(each.text("job"))
            return _digest(each), Answered(job, names.setdefault(model, model))

        return cls(
            Model(read.text("model"), read.time("at")),
            [answered(each) for each in read.objects("answered")],
        )


def _digest(each: fields.Fields) -> bytes:
    try:
        return bytes.fromhex(each.text("image"))
    except ValueError as error:
        raise DecodeError("field 'image' must be hexadecimal digits", each.data) from error
