"""The JSON objects that the API tells, as types: `shapes` makes them, `openapi` describes them.

What is said here of a field stands in the API's description.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from imagefleet_web.openapi.schemas import About, FromSettings
from imagefleet_web.uploads.formats import NAMES, content_type

_BATCH = "019ab2c4-5d6e-7f80-8123-456789abcdef"
_JOB = f"{_BATCH}-0001"

BatchId = Annotated[str, About("A batch's id, a UUIDv7.", format="uuid", examples=[_BATCH])]
BatchUrl = Annotated[str, About("Where the batch stands.", examples=[f"/api/v1/batches/{_BATCH}"])]
FileName = Annotated[str, About("The file's name.", examples=["chelsea.jpg"])]
Label = Annotated[str, About("What is in the picture.", examples=["Egyptian cat"])]
Score = Annotated[
    float, About("How sure of it the model is.", minimum=0, maximum=1, examples=[0.3904])
]


def _time(description: str, example: str) -> About:
    return About(
        f"{description}, in UTC; null while it is not known.",
        format="date-time",
        examples=[example],
    )


class Prediction(TypedDict):
    """One label and how likely it is."""

    label: Label
    score: Score


class Reason(TypedDict):
    """Why an image has no answer."""

    code: Annotated[str, About("For programs; stable.", examples=["truncated"])]
    message: Annotated[
        str, About("For people; may change.", examples=["The file ends before the picture does."])
    ]


class Job(TypedDict):
    """One image, and what became of it; what is not known yet is null."""

    id: Annotated[str, About("The job's id, its batch's and a number.", examples=[_JOB])]
    batch: BatchId
    url: Annotated[str, About("Where the job stands.", examples=[f"/api/v1/jobs/{_JOB}"])]
    name: FileName
    status: Annotated[Literal["pending", "done", "failed"], About(examples=["done"])]
    label: Annotated[
        str | None,
        About("The best label, if it is done by a classifier.", examples=["Egyptian cat"]),
    ]
    score: Annotated[
        float | None,
        About("How sure of it the model is.", minimum=0, maximum=1, examples=[0.3904]),
    ]
    top: Annotated[
        list[Prediction] | None, About("The five best labels, best first; empty without any.")
    ]
    output: Annotated[
        dict[str, Any] | None,
        About("What work of the service's own answered instead of a label.", examples=[None]),
    ]
    error: Annotated[Reason | None, About("Why it failed.", examples=[None])]
    model: Annotated[str | None, About("What worked on it.", examples=["efficientnet-lite0@1"])]
    worker: Annotated[str | None, About("Which worker did.", examples=["worker-1"])]
    submitted_at: Annotated[str | None, _time("When it was uploaded", "2026-01-31T12:00:00.000Z")]
    started_at: Annotated[str | None, _time("When work on it began", "2026-01-31T12:00:00.120Z")]
    finished_at: Annotated[str | None, _time("When it ended", "2026-01-31T12:00:00.141Z")]
    reused_from: Annotated[
        str | None,
        About("The job of the same bytes whose answer this is, if it is one.", examples=[None]),
    ]
    upload_expires_at: Annotated[
        str | None,
        About(
            "Until when the image can be uploaded, in UTC; null once it is there.",
            format="date-time",
            examples=[None],
        ),
    ]


class RejectedFile(TypedDict):
    """A file of an upload that was refused, and so is no job."""

    id: None
    name: FileName
    status: Literal["rejected"]
    error: Reason


class Upload(TypedDict):
    """What became of the files of an upload, in the order sent."""

    batch: BatchId
    url: BatchUrl
    jobs: list[Job | RejectedFile]


class WantedFile(TypedDict):
    """A file that is about to be uploaded."""

    name: NotRequired[Annotated[str | None, About("The file's name.", examples=["cat.jpg"])]]
    type: NotRequired[
        Annotated[
            str | None,
            About(
                "Its media type; told from the name if missing.",
                enum=[*map(content_type, NAMES), "application/octet-stream", None],
                examples=["image/jpeg"],
            ),
        ]
    ]


class WantedFiles(TypedDict):
    """The files for which forms are asked; one without a name if there is no list."""

    files: NotRequired[
        Annotated[
            list[WantedFile],
            About("At most {max_files}.", minItems=1, maxItems=FromSettings("max_files")),
        ]
    ]


class UploadForm(TypedDict):
    """A form that S3 takes: these fields, and after them the file, in the field `file`."""

    url: Annotated[str, About("Where it is posted to.", examples=["https://s3.example/input"])]
    fields: dict[str, str]


class PresignedUpload(TypedDict):
    """A job that begins when its file is uploaded with the form."""

    id: Annotated[str, About("The job's id, its batch's and a number.", examples=[_JOB])]
    url: Annotated[str, About("Where the job stands.", examples=[f"/api/v1/jobs/{_JOB}"])]
    name: FileName
    post: UploadForm
    expires_at: Annotated[
        str,
        About(
            "Until when the form can be used, in UTC.",
            format="date-time",
            examples=["2026-01-31T12:15:00.000Z"],
        ),
    ]


class PresignedUploads(TypedDict):
    """A batch that is yet to be uploaded, in the order of the files asked for."""

    batch: BatchId
    url: BatchUrl
    uploads: list[PresignedUpload]


class BatchSummary(TypedDict):
    """A batch in numbers."""

    batch: BatchId
    url: BatchUrl
    total: Annotated[int, About("How many jobs it has.", minimum=1, examples=[1])]
    done: Annotated[int, About(minimum=0, examples=[1])]
    failed: Annotated[int, About(minimum=0, examples=[0])]
    pending: Annotated[int, About(minimum=0, examples=[0])]


class Batch(BatchSummary):
    """A batch and its jobs, in the order of their numbers."""

    jobs: list[Job]


class PastBatch(TypedDict):
    """A batch in the list of them; how many of the finished ones failed only it itself tells."""

    batch: BatchId
    url: BatchUrl
    submitted_at: Annotated[str | None, _time("When it was uploaded", "2026-01-31T12:00:00.000Z")]
    total: Annotated[int, About("How many jobs it has.", minimum=1, examples=[2])]
    finished: Annotated[int, About("How many have a result.", minimum=0, examples=[1])]
    pending: Annotated[int, About("How many have none yet.", minimum=0, examples=[1])]


class PastBatches(TypedDict):
    """Past batches, newest first. A page may hold fewer than asked for, even none."""

    batches: list[PastBatch]
    cursor: Annotated[
        str | None,
        About(
            "Where the next page begins; null after the last one.", examples=["MDE5YWIyYzQtNWQ2ZS0"]
        ),
    ]


class Health(TypedDict):
    """All is well."""

    status: Literal["ok"]


class Faults(TypedDict):
    """What is not, and why."""

    status: Literal["unavailable"]
    faults: Annotated[
        dict[str, str],
        About("The part that does not answer, and the reason.", examples=[{"queue": "no answer"}]),
    ]


class ProblemDocument(TypedDict):
    """Why a request has no answer, as in RFC 9457."""

    type: Annotated[str, About("Names the kind of problem; `code` does so in short.")]
    title: Annotated[str, About("The kind of problem, for people.")]
    status: Annotated[int, About("The HTTP status.", minimum=400, maximum=599)]
    detail: Annotated[str, About("What went wrong here, for people; may change.")]
    code: Annotated[str, About("The kind of problem, for programs; stable.")]
    jobs: NotRequired[
        Annotated[list[RejectedFile], About("Where all files were refused: each, and why.")]
    ]
