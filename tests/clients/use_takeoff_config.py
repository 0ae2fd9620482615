"""takeoff-config: what it makes of each of the manifests 0 .. N-1 in a folder, as JSON: a reader's settings, or null where it refuses it."""
import json
import sys

import takeoff_config


def read(path):
    try:
        reader = takeoff_config.read_takeoff_readers_config(path, "r")
        reader.validate()
        return reader.dict_without_optionals()
    except Exception:
        return None


print(json.dumps([read(f"{sys.argv[1]}/{i}") for i in range(int(sys.argv[2]))]))
