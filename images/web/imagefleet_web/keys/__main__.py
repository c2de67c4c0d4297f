"""Makes an API key: `python -m imagefleet_web.keys NAME`."""

from __future__ import annotations

import argparse
import sys

from imagefleet_web.keys import KeysError, make


def main() -> int:
    """Make a key; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="new-key",
        description="Makes an API key. Prints its line for the file that IMAGEFLEET_API_KEYS_FILE "
        "names; the key itself, which is kept nowhere, goes to stderr.",
        epilog="Example: new-key alice >>keys.txt",
    )
    parser.add_argument("name", metavar="NAME", help="whose key it is; several may be of one name")
    parser.add_argument(
        "--images-a-day",
        metavar="N",
        type=_count,
        help="how many images of that name may be uploaded in a day (UTC), 0 for any; those that "
        "IMAGEFLEET_MAX_IMAGES_PER_DAY allows everybody unless given",
    )
    asked = parser.parse_args()
    try:
        key, line = make(asked.name, asked.images_a_day)
    except KeysError as error:
        print(f"new-key: {error}", file=sys.stderr)
        return 2
    print(f"The key, which is shown only now: {key}", file=sys.stderr)
    print(line)
    return 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no number of images")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
