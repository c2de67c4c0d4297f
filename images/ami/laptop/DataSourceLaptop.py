"""cloud-init's own data source for EC2, told that this is EC2.

It reads the board's name otherwise, which a container hasn't, and without it asks for no token.
"""

from cloudinit import sources
from cloudinit.sources.DataSourceEc2 import CloudNames, DataSourceEc2


class DataSourceLaptop(DataSourceEc2):
    """EC2's metadata, second version, wherever this machine runs."""

    def _get_cloud_name(self):
        return CloudNames.AWS


def get_datasource_list(depends):
    """Return what there is with the network up; cloud-init's own entry point."""
    wanted = [(DataSourceLaptop, (sources.DEP_FILESYSTEM, sources.DEP_NETWORK))]
    return sources.list_from_depends(depends, wanted)
