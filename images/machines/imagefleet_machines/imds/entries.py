"""What stands at each path of a machine's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping

from imagefleet_machines.records import Record

ACCOUNT = "000000000000"


def meta_data(
    record: Record, *, address: str, role: str = "", interruption: str = ""
) -> dict[str, str]:
    """Return the text at each path below `meta-data/`, but for credentials.

    Args:
        record: of the instance.
        address: of the machine.
        role: of its instance profile; empty if it has none.
        interruption: what EC2 tells of it; empty for nothing.
    """
    hostname = f"ip-{address.replace('.', '-')}.ec2.internal"
    region = record.zone[:-1]
    entries = {
        "ami-id": record.image_id,
        "ami-launch-index": "0",
        "hostname": hostname,
        "instance-id": record.id,
        "instance-life-cycle": "spot" if record.spot or interruption else "on-demand",
        "instance-type": record.type,
        "local-hostname": hostname,
        "local-ipv4": address,
        "placement/availability-zone": record.zone,
        "placement/region": region,
        "reservation-id": f"r-{record.id[2:]}",
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }
    entries |= {f"tags/instance/{key}": text for key, text in record.tags.items()}
    if role:
        entries[f"iam/security-credentials/{role}"] = ""
    if interruption:
        entries["spot/instance-action"] = interruption
    return entries


def dynamic(record: Record, address: str) -> dict[str, str]:
    """Return the text at each path below `dynamic/`; no signatures, which nobody could check."""
    document = json.dumps(
        {
            "accountId": ACCOUNT,
            "architecture": "x86_64",
            "availabilityZone": record.zone,
            "imageId": record.image_id,
            "instanceId": record.id,
            "instanceType": record.type,
            "pendingTime": record.launched_at,
            "privateIp": address,
            "region": record.zone[:-1],
            "version": "2017-09-30",
        },
        indent=2,
    )
    return {"instance-identity/document": document}


def listing(entries: Mapping[str, str], path: str) -> str | None:
    """Return the names below a path, folders with a slash; None where there is nothing."""
    below = f"{path.strip('/')}/" if path.strip("/") else ""
    names = {
        name.partition("/")[0] + ("/" if "/" in name else "")
        for each in entries
        if (name := each.removeprefix(below)) and each.startswith(below)
    }
    return "\n".join(sorted(names)) if names else None
