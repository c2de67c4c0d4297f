"""The results that became known lately, within what memory they may take."""

from __future__ import annotations

import json
from collections import OrderedDict

from imagefleet_core.jobs import JobId, Result

# About 2 KiB each, but for their outputs,
REMEMBERED = 4096
# which may take this much, counted as JSON; as objects of Python they take several times that.
REMEMBERED_OUTPUT_BYTES = 8 * 1024 * 1024


class Recent:
    """Results by their jobs; those that were told longest ago are forgotten first."""

    def __init__(self, most: int, most_output_bytes: int = REMEMBERED_OUTPUT_BYTES) -> None:
        self._most = most
        self._most_output_bytes = most_output_bytes
        self._output_bytes = 0
        self._results: OrderedDict[JobId, tuple[Result, int]] = OrderedDict()

    def get(self, job: JobId) -> Result | None:
        """Return a job's result while it is remembered."""
        remembered = self._results.get(job)
        return remembered[0] if remembered else None

    def put(self, result: Result) -> None:
        """Remember a result in place of an earlier one of its job."""
        self._forget(self._results.pop(result.job, None))
        size = _output_bytes(result)
        self._results[result.job] = result, size
        self._output_bytes += size
        while len(self._results) > self._most or self._output_bytes > self._most_output_bytes:
            self._forget(self._results.popitem(last=False)[1])

    def forget(self, batch: str) -> None:
        """Forget the results of a batch."""
        for job in [job for job in self._results if job.batch == batch]:
            self._forget(self._results.pop(job))

    def _forget(self, remembered: tuple[Result, int] | None) -> None:
        if remembered:
            self._output_bytes -= remembered[1]


def _output_bytes(result: Result) -> int:
    return 0 if result.output is None else len(json.dumps(result.output))
