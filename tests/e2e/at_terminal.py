"""A program on a terminal of its own, and a person who answers what it asks."""
import os
import pty
import re
import select
import time

QUIET_S = 0.3  # nothing more is said: what stands last is a question
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # a screen that is cleared


def at_terminal(command, answer, patience_s=60):
    """`answer`(question, what was said so far) is a line to type, or None where nothing was asked. What was said, the exit
    status, and how often something was typed."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["NO_COLOR"] = "1"
        os.execv(str(command[0]), [str(part) for part in command])
    said, at, typed, end = "", 0, 0, time.monotonic() + patience_s
    while time.monotonic() < end:
        if select.select([fd], [], [], QUIET_S)[0]:
            try:
                octets = os.read(fd, 65536)
            except OSError:
                break
            if not octets:
                break
            said += octets.decode(errors="replace")
            continue
        question = CONTROL.sub("", said[at:]).splitlines()[-1] if said[at:] else ""
        line = answer(question, said)
        if line is not None:
            at = len(said)
            typed += 1
            os.write(fd, line.encode() + b"\n")
    else:
        os.kill(pid, 9)
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return said, os.waitstatus_to_exitcode(status), typed
