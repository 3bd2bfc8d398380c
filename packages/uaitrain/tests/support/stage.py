"""What the launcher does with its Stager, step by step: stage.py DATA OUTPUT STEP...

Steps: state, data, start, "until PATH" (appears), "finish PATH". It runs under Python 2.7 and 3,
and ends with the code of a StagingError. A store that does not answer is waited for three seconds,
not for a minute.
"""

import os
import sys
import time

CONTAINER = os.environ["STAGE_CONTAINER"]
sys.path[:0] = [CONTAINER + "/launch", CONTAINER]
sys.dont_write_bytecode = True

import fetching  # noqa: E402
import sending  # noqa: E402
import staging  # noqa: E402

fetching.PATIENCE_SECONDS = 3
fetching.PAUSE_SECONDS = sending.PAUSE_SECONDS = 0.5


def say(text):
    sys.stdout.write("launch: " + text + "\n")
    sys.stdout.flush()


def step(stager, words):
    name, rest = words[0], words[1:]
    if name == "until":
        while not os.access(rest[0], os.F_OK):
            time.sleep(0.05)
    elif name == "finish":
        stager.finish(*rest)
    elif name == "start":
        stager.start()
    else:
        getattr(stager, "fetch_" + name)()
    say("did " + " ".join(words))


def main(data, output, steps):
    try:
        stager = staging.Stager.from_environ(os.environ, say, data, output)
        for each in steps:
            step(stager, each.split())
    except staging.StagingError as error:
        say("failed: " + error.reason)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
