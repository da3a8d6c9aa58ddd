"""What every command promises: exit codes, one line, one JSON object, help with an example that works."""

import errno
import json
import shlex
import signal
import subprocess
import sys

import pytest

from cli.contract import perform
from dataengine import progress
from dataengine.errors import DataEngineError
from dataengine.report import Report
from tests.support.commands import COMMANDS

HEAVY = {
    *("torch", "ray", "lance", "pyarrow", "numpy", "pydantic", "yaml", "matplotlib", "av", "h5py", "PIL"),
    *("tensorflow", "mujoco", "metaworld", "transformers", "dataengine.store", "rich.console"),
}


class Counted(Report):
    ok: bool = True
    counted: int = 3


def run_python(code: str, *argv: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)


def test_the_commands_are_these():
    wanted = [
        "ingest",
        "clips",
        "hands",
        "curate",
        "stats",
        "label",
        "shard",
        "probe",
        "eval play",
        "eval compare",
        "eval libero",
        "eval calibrate",
        "eval openloop",
        "eval failures",
        "eval planning",
        "eval libero-record",
        "ablate",
        "act",
        "plan",
        "transfer",
        "serve",
        "show",
        "doctor",
        "demo",
        "sources",
        "docs",
    ]
    wanted += [
        "lam report",
        "export lerobot",
        "export lam",
        "export checkpoint",
        "train lam",
        "train act",
        "train world",
        "train custom",
        "finetune",
        "pipeline",
    ]
    wanted += [f"runs {name}" for name in ("list", "show", "compare")]
    wanted += [f"corpus {name}" for name in ("info", "verify", "rejects", "drop", "compact", "snapshot", "diff")]
    assert set(COMMANDS) == {f"villa {name}" for name in wanted}


def test_help_loads_nothing_heavy():
    code = "import sys, cli.app as a; a.invoke(a.app, ['--help']); print(*sys.modules, file=sys.stderr)"
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("name", ["train lam", "train act", "train world", "label", "eval", "shard", "curate"])
def test_the_help_of_a_command_does_without_torch(name):
    code = "import sys, cli.app as a; a.invoke(a.app, sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = run_python(code, *name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert not {"torch", "ray", "matplotlib"} & set(done.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_and_gives_an_example(name, villa):
    said = villa(*name.split()[1:], "--help")
    assert said.code == 0
    assert f"Example:\n    {name} " in said.out + " " or f"Example:\n    {name}\n" in said.out
    assert "--json" in said.out
    assert "--debug" in said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_are_commands_that_exist(name):
    _, _, examples = COMMANDS[name].help.partition("Example:\n")
    for line in examples.splitlines():
        argv = shlex.split(line)
        path, rest = name.split(), argv[len(name.split()) :]
        assert argv[: len(path)] == path
        COMMANDS[name].make_context(name, rest)  # raises what a wrong option would


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if {p.name for p in c.params} & {"overrides"}])
def test_an_unknown_setting_is_one_line_that_names_it(name, villa, tmp_path):
    needed = [p.name for p in COMMANDS[name].params if p.param_type_name == "argument" and p.required]
    named = {"task": "pipelines.training.world.world:WorldTask"}  # its settings are those of the class
    given = [named.get(argument, tmp_path / argument) for argument in needed]
    said = villa(*name.split()[1:], *given, "--set", "no_such_setting=1")
    assert said.code == 2
    assert "no_such_setting" in said.line or "missing" in said.line


@pytest.mark.parametrize("task", ["bc", "no_such_module:Bc", "dataengine.naming:Bc", "dataengine.report:Report"])
def test_what_is_no_task_to_train_is_one_line(task, villa, tmp_path):
    said = villa("train", "custom", task, tmp_path, "--out", tmp_path / "run")
    assert said.code == 2
    assert said.line.startswith(f"villa train custom: no task '{task}': ")
    assert "module:Class" in said.line or "TrainTask" in said.line


@pytest.mark.parametrize(
    "argv", [["inget"], ["ingest", "--corpsu", "x"], ["ingest"], ["train"], ["corpus", "inf", "x"]]
)
def test_wrong_usage_is_one_line_and_exit_code_2(argv, villa):
    said = villa(*argv)
    assert said.code == 2
    assert said.out == ""
    assert "--help" in said.line


def test_villa_alone_shows_the_help(villa):
    said = villa()
    assert said.code == 0
    assert "Commands:" in said.out


def test_a_report_is_printed_as_words_or_as_one_json_object(capsys):
    assert perform("count", Counted, as_json=False, debug=False) == 0
    assert "counted 3" in capsys.readouterr().out
    assert perform("count", Counted, as_json=True, debug=False) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "counted": 3}


def test_of_the_processes_of_torchrun_only_the_first_speaks(capsys, monkeypatch):
    said = {}
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert perform("count", Counted, as_json=False, debug=False) == 0
        with progress.task("work", 3, "steps") as live:
            live._last_log -= 60
            live.advance()
        captured = capsys.readouterr()
        said[rank] = (captured.out.strip() != "", "work: 1/3 steps" in captured.err)
    assert said == {"0": (True, True), "1": (False, False)}


def test_a_report_that_is_not_ok_exits_1_and_is_still_printed(capsys):
    assert perform("count", lambda: Counted(ok=False), as_json=True, debug=False) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def raised_by_a_library() -> Report:
    json.loads("{")
    return Counted()


def raising(error: BaseException):
    def body() -> Report:
        raise error

    return body


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (raising(PermissionError(13, "Permission denied", "/a/b")), 2, "villa count: /a/b: permission denied; get the"),
        (
            raising(OSError(30, "Read-only file system", "/a/b")),
            2,
            "villa count: /a/b: its disk is read-only; name another",
        ),
        (raising(DataEngineError("lake: found a pond,\nexpected a lake")), 2, "lake: found a pond, expected a lake"),
        (raising(FileNotFoundError(2, "No such file", "gone")), 2, "gone"),
        (raising(OSError(errno.ENOSPC, "No space left")), 1, "the same command continues"),
        (
            raising(OSError("When listing: AWS Error (HTTP status 503)")),
            1,
            "does not answer now (When listing: AWS Error",
        ),
        (raising(RuntimeError("broke")), 1, "RuntimeError: broke"),
        (raised_by_a_library, 1, "JSONDecodeError"),
        (raising(KeyboardInterrupt()), 130, "the same command continues"),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(body, code, message, capsys):
    assert perform("count", body, as_json=False, debug=False) == code
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("villa count: ")
    assert message in line


def test_with_json_an_error_is_an_object_too(capsys):
    perform("count", raising(DataEngineError("no")), as_json=True, debug=False)
    assert json.loads(capsys.readouterr().out) == {"error": "villa count: no", "exit_code": 2}


def test_a_traceback_is_shown_only_with_debug(capsys):
    perform("count", raising(RuntimeError("broke")), as_json=False, debug=True)
    assert "Traceback" in capsys.readouterr().err


CHATTY = """
import os, sys
from cli.contract import perform
from dataengine.report import Report
class Done(Report):
    done: int = 1
def body():
    print("from Python")
    os.write(1, b"from C\\n")
    return Done()
sys.exit(perform("chat", body, as_json=True, debug=False))
"""


def test_what_libraries_print_stays_out_of_stdout():
    done = run_python(CHATTY)
    assert done.stdout == '{"done":1}\n'
    assert "from Python" in done.stderr
    assert "from C" in done.stderr


SLOW = """
import signal, sys, time
from cli.contract import perform
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell begin with it ignored
def body():
    print("ready", flush=True)
    time.sleep(60)
sys.exit(perform("wait", body, as_json=True, debug=False))
"""


def test_ctrl_c_exits_130_with_a_line_that_says_what_next():
    child = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert err == "villa wait: interrupted; the same command continues where it stopped\n"
    assert json.loads(out)["exit_code"] == 130


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_that_a_library_turns_into_an_error_is_one(number, code, capsys):
    def body():
        try:
            signal.raise_signal(number)
        except BaseException:
            raise TypeError("Got unexpected argument type") from None

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert perform("count", body, as_json=False, debug=False) == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err.endswith("ed; the same command continues where it stopped\n")


def test_python_m_cli_is_villa():
    done = subprocess.run(
        [sys.executable, "-m", "cli", "sources", "--onyl", "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("villa sources: ")


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_of_torch_sleep_early_unless_the_user_says_how_they_wait(monkeypatch, given, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    code = "import os; from cli import main\ntry: main()\nfinally: print(os.environ.get('GOMP_SPINCOUNT'))"
    assert run_python(code, "--version").stdout.split()[-1] == str(spins)
