"""``iqa demo``: the whole path on one machine, with pictures that anybody may use."""
