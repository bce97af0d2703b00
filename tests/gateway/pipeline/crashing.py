"""A process that runs the pipeline in children and kills them at a named step.

One JSON request a line on standard input: {"home", "contract", "env", "step": [module, object,
method, "before" | "after", nth call]}, or a step of another kind (below), or null: run to the end.
One line a request on standard output: how the child ended, negative for a signal. It imports
everything once, so that a child is a fork.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path

from zhixin_gateway import pipeline
from zhixin_gateway.home import Home

for name in ("extraction", "writing", "notarising", "running", "opinion"):
    importlib.import_module(f"zhixin_gateway.pipeline.{name}")
for name in ("zhixin_connectors.sql", "zhixin_ledger.client", "sqlalchemy.dialects.sqlite"):
    importlib.import_module(name)


def arm(module, owner, method, when, nth):
    """Let the process die at the nth call of a function."""
    target = importlib.import_module(module)
    for part in owner.split(".") if owner else ():
        target = getattr(target, part)
    original = getattr(target, method)
    count = 0

    def dying(*args, **kwargs):
        nonlocal count
        count += 1
        if count == nth and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = original(*args, **kwargs)
        if count == nth and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(target, method, dying)


def arm_engine(step, nth):
    """Let the process die at the nth time that the ledger's engine comes to a step of its own."""
    from zhixin_ledger.embedded import Engine

    original = Engine.__init__
    count = 0

    def hook(name):
        nonlocal count
        if name == step:
            count += 1
            if count == nth:
                os.kill(os.getpid(), signal.SIGKILL)

    def opening(self, *args, **kwargs):
        original(self, *args, **{**kwargs, "hook": hook})

    Engine.__init__ = opening


def arm_name(name):
    """Let the process die once a file is written, and before it has its name."""
    original = Path.replace

    def dying(self, target):
        if Path(target).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, target)

    Path.replace = dying


def child(request):
    os.environ.update(request.get("env", {}))
    step = request["step"]
    if step and step[0] == "engine":
        arm_engine(*step[1:])
    elif step and step[0] == "name":
        arm_name(*step[1:])
    elif step:
        arm(*step)
    pipeline.run(Home.open(request["home"]), Path(request["contract"]))


for line in sys.stdin:
    request = json.loads(line)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(request)
            code = 0
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
    sys.stdout.flush()
