"""The command line ``zhixin`` (docs/cli.md): what it is called with, and how it ends.

A command is a file in this folder and is imported when it is called, so that ``zhixin --help``
stays quick. Exit codes: 0 done, 1 refused, 2 usage or set-up, 3 not reached or proof pending,
4 an error of ours, 130 interrupted. Data goes to standard output, all else to standard error.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from zhixin_errors import ConfigError, ZhixinError

from zhixin_gateway.cli.interrupts import listen
from zhixin_gateway.progress import one_line

if TYPE_CHECKING:
    import click

__all__ = ["main"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and end the process with its code.

    Args:
        arguments: what stands after ``zhixin``; the process's own by default.

    Returns:
        Never, when called without arguments (the process ends); else the exit code.
    """
    if arguments is None:
        listen()
    code = _call(list(sys.argv[1:] if arguments is None else arguments))
    if arguments is None:
        _leave(code)
    return code


def _call(arguments: list[str]) -> int:
    """Run one command and turn whatever happens into an exit code.

    Args:
        arguments: what stands after ``zhixin``.

    Returns:
        The exit code.
    """
    try:
        from zhixin_gateway.cli.root import zhixin

        outcome = zhixin.main(args=arguments, prog_name="zhixin", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - the one place where every end gets its code
        return _code_of(error, as_json="--json" in arguments)
    return outcome if isinstance(outcome, int) else 0


def _code_of(error: BaseException, *, as_json: bool) -> int:
    import click

    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            return _interrupted()
        case click.ClickException():
            return _usage(error, as_json=as_json)
        case BrokenPipeError():
            return 0
        case ZhixinError():
            return _refused(error, as_json=as_json)
        case Exception():
            return _unexpected(error, as_json=as_json)
    raise error


def _interrupted() -> int:
    from zhixin_gateway.cli.interrupts import heard

    heard()
    sys.stderr.write("interrupted: nothing is half-done, the same command goes on from here\n")
    return INTERRUPTED


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        _print_json({"error": {"code": "usage", "message": error.format_message()}})
    error.show(file=sys.stderr)
    return 2


def _refused(error: ZhixinError, *, as_json: bool) -> int:
    if as_json:
        told: dict[str, object] = {"code": error.code, "message": error.message}
        if error.hint:
            told["hint"] = error.hint
        answer: dict[str, object] = {"error": {**told, **error.details}}
        if error.details.get("pending"):
            answer["pending"] = True
        _print_json(answer)
    sys.stderr.write(f"error ({error.code}): {one_line(error.message)}\n")
    _problems(error.details.get("problems"))
    if error.hint:
        sys.stderr.write(f"  {one_line(error.hint)}\n")
    return error.exit_code


def _problems(problems: object) -> None:
    if not isinstance(problems, list) or len(problems) < 2:  # a single one is the message itself
        return
    for problem in problems:
        if isinstance(problem, dict):
            where = f"{problem['line']}:{problem['column']}: " if problem.get("column") else ""
            place = f"{problem['path']}: " if problem.get("path") else ""
            sys.stderr.write(f"  {where}{one_line(place + str(problem.get('message')))}\n")


def _unexpected(error: Exception, *, as_json: bool) -> int:
    if type(error).__name__ in {"ArrowCancelled", "ArrowKeyboardInterrupt"}:
        return _interrupted()
    if os.environ.get("ZHIXIN_DEBUG"):
        raise error
    if isinstance(error, OSError):
        return _refused(_system(error), as_json=as_json)
    told = _place(error)
    if as_json:
        _print_json({"error": {"code": "internal", "message": told}})
    sys.stderr.write(f"error (internal): {told}\n")
    sys.stderr.write("  this is a fault of Zhixin's; ZHIXIN_DEBUG=1 shows where\n")
    return 4


def _system(error: OSError) -> ConfigError:
    """Say what the operating system refused, and for which file."""
    told = error.strerror or type(error).__name__
    if error.filename is not None:
        told = f"{os.fsdecode(error.filename)}: {told}"
    hint = _WAYS_OUT.get(error.errno) if error.errno else None
    return ConfigError(told, code="system", hint=hint)


_ACCESS = "work as the user to whom it belongs, or let that user give you access"
_ROOM = "make room there; nothing is half-done, the same command goes on from here"
_WAYS_OUT = {
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: "give a place on a disk that can be written",
}


def _place(error: Exception) -> str:
    """Say what failed and where, without the message: it could hold a record's contents."""
    frame = error.__traceback__
    place = "an unknown place"
    while frame is not None:
        place = f"{frame.tb_frame.f_globals.get('__name__', '?')}, line {frame.tb_lineno}"
        frame = frame.tb_next
    return f"{type(error).__name__} in {place}"


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def _leave(code: int) -> NoReturn:
    """End the process.

    A thread that is still within a driver or Arrow, because nobody waits for it any longer, comes
    back to an interpreter that is being taken down, which ends in an abort or never. By now nothing
    is left to be done: so the interpreter is not taken down where there is such a thread.
    """
    _flush()
    if code == INTERRUPTED or any(thread.daemon for thread in threading.enumerate()):
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _flush() -> None:
    """End quietly where the reader of standard output has gone."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
