"""EC2 on a laptop: containers that stand in for the instances that an emulator only writes down.

The emulator keeps the records, and this makes them true: a record that runs is a container that
runs, and one that has ended by itself is a record that is terminated. Each machine asks for its
metadata at 169.254.169.254, as on EC2.
"""
