"""Runs a command where nothing tells of a child's exit, by a seccomp filter that it and its children inherit.

usage: without_exit_notice.py ERRNO COMMAND...   pidfd_open fails with this number, as in gVisor or on an old kernel
       without_exit_notice.py SIGCHLD COMMAND... that, and SIGCHLD is ignored and stays so, whoever sets a handler
"""

import ctypes
import errno
import os
import platform
import signal
import struct
import sys

PIDFD_OPEN = 434
RT_SIGACTION = {"x86_64": 13, "aarch64": 134}[platform.machine()]
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16
ALLOW, FAIL = 0x7FFF0000, 0x00050000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def step(code, value, if_so=0, else_skip=0):
    return struct.pack("HBBI", code, if_so, else_skip, value)


def install(steps):
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]

    code = ctypes.create_string_buffer(b"".join(steps))
    program = Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)
    ):
        sys.exit(f"no seccomp filter: {os.strerror(ctypes.get_errno())}")


how, command = sys.argv[1], sys.argv[2:]
number = errno.ENOSYS if how == "SIGCHLD" else int(how)
steps = [
    step(LOAD, NUMBER),
    step(JUMP_IF_EQUAL, PIDFD_OPEN, 0, 1),
    step(RETURN, FAIL | number),
]
if how == "SIGCHLD":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    steps += [
        step(JUMP_IF_EQUAL, RT_SIGACTION, 0, 3),
        step(LOAD, FIRST_ARGUMENT),
        step(JUMP_IF_EQUAL, signal.SIGCHLD, 0, 1),
        # "Fails" without an error: nothing is done.
        step(RETURN, FAIL),
    ]
install([*steps, step(RETURN, ALLOW)])
os.execvp(command[0], command)
