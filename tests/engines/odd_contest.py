"""A process that should measure, and does one odd thing instead: die, hang, print what is no answer, stop in mid-line."""

import os
import signal
import sys


def main(what: str) -> None:
    sys.stdin.readline()
    match what:
        case "die":
            os.kill(os.getpid(), signal.SIGILL)
        case "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()
        case "warn":
            print("a library's warning", flush=True)
        case "stop":
            print('{"engine": "x", "runt', end="", flush=True)
        case "other":
            print('{"engine": "x", "runtime": "y", "speed": 1}', flush=True)
        case "close":
            os.close(1)
            signal.pause()


if __name__ == "__main__":
    main(os.environ["ODD"])
