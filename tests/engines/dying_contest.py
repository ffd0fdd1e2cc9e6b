"""A process that should measure and dies, as one does on an instruction that its processor lacks."""

import os
import signal

if __name__ == "__main__":
    os.kill(os.getpid(), signal.SIGILL)
